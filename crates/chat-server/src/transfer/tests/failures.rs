//! Files that are no export, are not all of one, or were changed by hand.

use super::*;

/// What an import of lines says when it fails.
async fn refused(lines: &[String]) -> String {
    imported(&empty(), lines, false)
        .await
        .unwrap_err()
        .to_string()
}

/// The lines with one of them replaced: the first that has `part`. Answers its number too.
fn with(lines: &[String], part: &str, line: &str) -> (u64, Vec<String>) {
    let mut lines = lines.to_vec();
    let at = lines.iter().position(|it| it.contains(part)).unwrap();
    line.clone_into(&mut lines[at]);
    (at as u64 + 1, lines)
}

#[tokio::test]
async fn what_is_no_export_is_refused_at_its_first_line() {
    let lines = |text: &str| vec![text.to_owned()];
    assert!(refused(&[]).await.contains("there is nothing"));
    for no_header in ["{}", "hello", "{\"room\":{}}"] {
        let told = refused(&lines(no_header)).await;
        assert!(told.contains("line 1: is not the header"), "{told}");
    }
    let newer = r#"{"chat_export":2,"server":"9.1.0","exported_at_ms":1,"and":"more"}"#;
    let told = refused(&lines(newer)).await;
    assert!(told.contains("format 2 is not known"), "{told}");
    assert!(told.contains("version 9.1.0"), "{told}");
}

#[tokio::test]
async fn a_line_that_is_wrong_is_told_by_its_number() {
    let all = exported(&filled().await).await;
    let id = "17.AAAAAAAAAAA";
    let message = |fields: &str| {
        format!(r#"{{"message":{{"id":"{id}","from":"anna","sent_at_ms":1{fields}}}}}"#)
    };
    let wrong = [
        ("{".to_owned(), "is no line of an export"),
        (
            r#"{"message":{"id":1}}"#.to_owned(),
            "is no line of an export",
        ),
        (
            r#"{"user":{"user":"a b","version":1}}"#.to_owned(),
            "is no line",
        ),
        (r#"{"secret":{}}"#.to_owned(), "unknown variant"),
        (message(r#","text":"x","colour":"red""#), "unknown field"),
        (message(""), "it has no changed_seq"),
        (
            message(r#","text":"x","edited_at_ms":2"#),
            "it has no changed_seq",
        ),
        (
            message(r#","text":"x","changed_seq":5000"#),
            "changed_seq is not between",
        ),
        (
            message(r#","text":"x","changed_seq":16"#),
            "changed_seq is not between",
        ),
        (
            message(r#","changed_seq":18,"edited_at_ms":2"#),
            "has nothing else",
        ),
        (
            message(r#","text":"x""#).replace("17.", "9999."),
            "above where the log",
        ),
        (
            message(r#","text":"x""#).replace("17.", "16."),
            "does not come behind",
        ),
    ];
    for (line, told) in wrong {
        let (number, lines) = with(&all, "number 16\"", &line);
        let error = refused(&lines).await;
        assert!(error.starts_with(&format!("line {number}: ")), "{error}");
        assert!(error.contains(told), "{told}: {error}");
    }
}

/// A list that is exported while it changes may name somebody twice.
#[tokio::test]
async fn of_somebody_who_is_there_twice_the_greater_numbers_are_kept() {
    let mut lines = exported(&filled().await).await;
    let marker = lines.iter().position(|it| it.contains(r#"{"marker""#));
    let marker = marker.unwrap();
    let room_end = marker
        + lines[marker..]
            .iter()
            .position(|it| it.contains(r#"{"room_end""#))
            .unwrap();
    lines[room_end] = more(&lines[room_end], "markers", 2);
    lines[marker] = r#"{"marker":{"user":"olga","seq":1}}"#.to_owned();
    let twice = [4, 3].map(|seq| format!(r#"{{"marker":{{"user":"olga","seq":{seq}}}}}"#));
    lines.splice(marker..marker, twice);
    let end = lines.len() - 1;
    let twice = [(9, 50), (8, 60)].map(|(version, seen)| {
        format!(r#"{{"user":{{"user":"amy","version":{version},"seen_at_ms":{seen}}}}}"#)
    });
    lines.splice(end..end, twice);
    let counted = lines.pop().unwrap();
    lines.push(more(&more(&counted, "markers", 2), "users", 2));
    let store = empty();
    imported(&store, &lines, false).await.unwrap();
    let marker = store.directory.marker(&room("team"), &user("olga")).await;
    assert_eq!(marker.unwrap().unwrap().seq, 4);
    let again = exported(&store).await;
    let amy = r#"{"user":{"user":"amy","version":9,"seen_at_ms":60}}"#;
    assert!(again.iter().any(|line| line == amy), "{again:?}");
}

/// A line of counts with one of them raised.
fn more(line: &str, count: &str, by: u64) -> String {
    let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
    let counts = line.as_object_mut().unwrap().values_mut().next().unwrap();
    counts[count] = (counts[count].as_u64().unwrap() + by).into();
    line.to_string()
}

#[tokio::test]
async fn numbers_with_which_no_store_could_go_on_are_refused() {
    let all = exported(&filled().await).await;
    let numbers = [
        (r#"{"room":{"id":"team""#, "/room/created_at_ms"),
        (r#"{"room":{"id":"team""#, "/room/version"),
        (r#"{"room":{"id":"team""#, "/room/log/seq"),
        (r#"{"room":{"id":"team""#, "/room/log/at_ms"),
        (r#"{"member""#, "/member/since_ms"),
        (r#"{"marker""#, "/marker/seq"),
        ("two, corrected", "/message/sent_at_ms"),
        ("two, corrected", "/message/edited_at_ms"),
        ("two, corrected", "/message/changed_seq"),
        (r#"{"user":{"user":"visitor""#, "/user/version"),
        (r#"{"user":{"user":"visitor""#, "/user/seen_at_ms"),
    ];
    for (part, pointer) in numbers {
        let line = all.iter().find(|line| line.contains(part)).unwrap();
        let mut changed: serde_json::Value = serde_json::from_str(line).unwrap();
        *changed.pointer_mut(pointer).unwrap() = ((1_u64 << 50) + 1).into();
        let (number, lines) = with(&all, part, &changed.to_string());
        let error = refused(&lines).await;
        let told = format!("line {number}: is no line of an export: a number is greater than 2^50");
        assert!(error.starts_with(&told), "{pointer}: {error}");
    }
    let reply = all.iter().find(|line| line.contains("reply_to")).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(reply).unwrap();
    changed["message"]["reply_to"] = "1125899906842625.AAAAAAAAAAA".into();
    let (number, lines) = with(&all, "reply_to", &changed.to_string());
    let error = refused(&lines).await;
    let told = format!("line {number}: a number is greater");
    assert!(error.starts_with(&told), "{error}");
}

#[tokio::test]
async fn lines_that_belong_to_no_room_are_refused() {
    let all = exported(&filled().await).await;
    for part in [
        "{\"room_end\"",
        "{\"member\"",
        "{\"marker\"",
        "{\"message\"",
    ] {
        let stray = all.iter().find(|line| line.starts_with(part)).unwrap();
        let error = refused(&[all[0].clone(), stray.clone()]).await;
        assert!(error.contains("line 2: belongs to no room"), "{error}");
    }
}

#[tokio::test]
async fn a_room_that_is_there_twice_is_refused_by_its_name() {
    let mut lines = exported(&filled().await).await;
    let first = lines
        .iter()
        .position(|it| it.contains("\"quiet\""))
        .unwrap();
    let ends = |line: &String| line.starts_with("{\"room_end\"");
    let behind = first + lines[first..].iter().position(ends).unwrap() + 1;
    let twice = lines[first..behind].to_vec();
    lines.splice(first..first, twice);
    let error = refused(&lines).await;
    assert!(error.contains("there is a room quiet already"), "{error}");
    assert!(error.contains("--skip-existing"), "{error}");
}

#[tokio::test]
async fn lines_that_are_missing_or_too_many_are_noticed() {
    let all = exported(&filled().await).await;
    let (number, mut lines) = with(&all, "number 16\"", "");
    let told = refused(&lines).await;
    assert!(told.contains("lines are missing"), "{number}: {told}");
    lines = all.clone();
    lines.push(all[all.len() - 2].clone());
    let told = refused(&lines).await;
    assert!(told.contains("is behind the end"), "{told}");
}

#[tokio::test]
async fn wherever_lines_are_lost_no_room_is_there_that_is_not_whole() {
    let all = exported(&filled().await).await;
    let ends = (0..all.len()).filter(|&at| all[at].starts_with("{\"room_end\""));
    let around = |end: usize| {
        let from = end.saturating_sub(fastrand::usize(0..5)).max(1);
        (from, (end + fastrand::usize(1..6)).min(all.len() - 1))
    };
    let mut lost: Vec<(usize, usize)> = ends
        .flat_map(|end| (0..8).map(move |_| end))
        .map(around)
        .collect();
    lost.extend((0..20).map(|_| {
        let from = fastrand::usize(1..all.len() - 1);
        (from, fastrand::usize(from + 1..all.len()))
    }));
    for (from, to) in lost {
        let store = empty();
        let mut lines = all.clone();
        lines.drain(from..to);
        let error = imported(&store, &lines, false).await.unwrap_err();
        let error = error.to_string();
        let whole = store.directory.rooms(None, 10).await.unwrap().rooms.len();
        assert_eq!(error.contains("--skip-existing"), whole > 0, "{error}");
        imported(&store, &all, true).await.unwrap();
        // Versions of users count on when a room comes behind them.
        let rooms = |lines: Vec<String>| {
            let mut lines = lines;
            lines.retain(|line| !line.starts_with("{\"user\""));
            lines[1..].sort();
            lines
        };
        let (again, expected) = (rooms(exported(&store).await), rooms(all.clone()));
        assert_eq!(
            without_header(&again),
            without_header(&expected),
            "{from}..{to}"
        );
    }
}

#[tokio::test]
async fn two_rooms_between_which_lines_are_lost_do_not_become_one_that_looks_whole() {
    let source = empty();
    for name in ["first", "second"] {
        let room = room(name);
        source.directory.enter(&room, &user("olga")).await.unwrap();
        say(&source, &room, "olga", name).await;
    }
    let all = exported(&source).await;
    let said = |text: &str| {
        let text = format!("\"text\":\"{text}\"");
        all.iter().position(|line| line.contains(&text)).unwrap()
    };
    let (one, other) = (said("first"), said("second"));
    let mut lines = all.clone();
    lines.drain(one.min(other)..one.max(other));
    let store = empty();
    let error = imported(&store, &lines, false).await.unwrap_err();
    assert!(error.to_string().contains("lines are missing"), "{error}");
    assert!(
        store
            .directory
            .rooms(None, 10)
            .await
            .unwrap()
            .rooms
            .is_empty()
    );
}

#[tokio::test]
async fn an_import_that_is_cut_off_anywhere_is_gone_on_with() {
    let all = exported(&filled().await).await;
    let text: String = all.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let boundaries = text.match_indices("{\"room\"").map(|(at, _)| at);
    let mut cuts: Vec<usize> = boundaries.flat_map(|at| [at - 1, at, at + 1]).collect();
    let end = text.find("{\"end\"").unwrap();
    cuts.extend((0..40).map(|_| fastrand::usize(all[0].len() + 1..end)));
    cuts.extend([all[0].len() + 1, end, end + 3]);
    for cut in cuts {
        // In the middle of a character there is no text, but still a file.
        let store = empty();
        let part = &text.as_bytes()[..cut];
        let cut_off = import_from(&store, part, false, Progress::silent()).await;
        let error = cut_off.unwrap_err().to_string();
        assert!(error.contains("ends before its end"), "{cut}: {error}");
        let whole = store.directory.rooms(None, 10).await.unwrap().rooms.len();
        assert_eq!(error.contains("--skip-existing"), whole > 0, "{error}");
        let done = imported(&store, &all, true).await.unwrap();
        assert_eq!(done.skipped, whole as u64);
        let again = exported(&store).await;
        assert_eq!(without_header(&again), without_header(&all), "{cut}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_not_read_into_memory() {
    let all = exported(&filled().await).await;
    let endless = std::io::Read::chain(all[0].as_bytes(), &b"\n"[..]);
    let endless = std::io::Read::chain(endless, std::io::repeat(b'x'));
    let endless = std::io::BufReader::new(endless);
    let error = import_from(&empty(), endless, false, Progress::silent()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("line 2: is longer than"), "{error}");
}
