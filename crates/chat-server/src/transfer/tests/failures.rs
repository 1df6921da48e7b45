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
async fn lines_that_belong_to_no_room_are_refused() {
    let all = exported(&filled().await).await;
    for part in ["{\"member\"", "{\"marker\"", "{\"message\""] {
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
    lines.insert(first, lines[first].clone());
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
