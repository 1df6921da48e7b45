//! What people do.

use chat_tests::ServerProcess;

use crate::chromium::Chromium;
use crate::proxy::Proxy;
use crate::tab::Tab;

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(from, text): &(&str, &str)| ((*from).to_owned(), (*text).to_owned());
    expected.iter().map(owned).collect()
}

#[tokio::test]
async fn two_tabs_chat() {
    let server = ServerProcess::start(&[]);
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    let bob = Tab::open(&mut browser, &server.url(), "bob").await;
    for tab in [&alice, &bob] {
        let both = "['alice', 'bob'].every((user) =>
            document.querySelector(`[data-testid=person][data-user=${user}]`))";
        tab.wait_until(&mut browser, both).await;
    }

    alice.say(&mut browser, "hello bob").await;
    bob.wait_for_message(&mut browser, "hello bob").await;
    bob.say(&mut browser, "hello alice").await;
    for tab in [&alice, &bob] {
        tab.wait_for_message(&mut browser, "hello alice").await;
    }
    alice.write(&mut browser, "I am thinking").await;
    let typing = "document.querySelector('[data-testid=typing]').textContent.includes('alice')";
    bob.wait_until(&mut browser, typing).await;

    let said = pairs(&[("alice", "hello bob"), ("bob", "hello alice")]);
    for tab in [&alice, &bob] {
        assert_eq!(tab.messages(&mut browser).await, said);
        tab.picture(&mut browser, "two-tabs").await;
        tab.assert_no_complaints(&browser);
    }
}

#[tokio::test]
async fn who_was_offline_comes_back_without_loss_and_without_doubles() {
    let server = ServerProcess::start(&[]);
    let cable = Proxy::start(server.address()).await;
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    let bob = Tab::open(&mut browser, &cable.url(), "bob").await;
    alice.say(&mut browser, "before").await;
    bob.wait_for_message(&mut browser, "before").await;

    cable.cut();
    bob.wait_for_state(&mut browser, "reconnecting").await;
    for text in ["one", "two", "three"] {
        alice.say(&mut browser, text).await;
        alice.wait_for_message(&mut browser, text).await;
    }
    bob.say(&mut browser, "said in a tunnel").await;
    let waits = "document.querySelector('[data-testid=pending]')";
    bob.wait_until(&mut browser, waits).await;
    let offline = pairs(&[("alice", "before"), ("waiting", "said in a tunnel")]);
    assert_eq!(bob.messages(&mut browser).await, offline);
    bob.picture(&mut browser, "offline").await;

    cable.mend();
    bob.wait_for_state(&mut browser, "online").await;
    alice
        .wait_for_message(&mut browser, "said in a tunnel")
        .await;
    alice.say(&mut browser, "after").await;
    for tab in [&alice, &bob] {
        tab.wait_for_message(&mut browser, "after").await;
    }
    let all = pairs(&[
        ("alice", "before"),
        ("alice", "one"),
        ("alice", "two"),
        ("alice", "three"),
        ("bob", "said in a tunnel"),
        ("alice", "after"),
    ]);
    for tab in [&alice, &bob] {
        assert_eq!(tab.messages(&mut browser).await, all);
        tab.picture(&mut browser, "back").await;
        tab.assert_no_complaints(&browser);
    }
}

#[tokio::test]
async fn text_is_shown_as_text() {
    let server = ServerProcess::start(&[]);
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    let bob = Tab::open(&mut browser, &server.url(), "bob").await;
    let texts = [
        "<img src=x onerror=\"window.taken = true\">",
        "<script>window.taken = true</script>",
        "</p><b>bold</b> &amp; javascript:alert(1)",
    ];
    for text in texts {
        alice.say(&mut browser, text).await;
        bob.wait_for_message(&mut browser, text).await;
    }
    for tab in [&alice, &bob] {
        let foreign = "document.querySelectorAll('#messages :is(img, script, b)').length";
        assert_eq!(tab.look(&mut browser, foreign).await, 0);
        assert_eq!(tab.look(&mut browser, "typeof taken").await, "undefined");
        tab.picture(&mut browser, "text").await;
        tab.assert_no_complaints(&browser);
    }
}

#[tokio::test]
async fn a_message_is_edited_reacted_to_and_deleted() {
    let server = ServerProcess::start(&[]);
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    let bob = Tab::open(&mut browser, &server.url(), "bob").await;
    alice.say(&mut browser, "helo").await;
    bob.wait_for_message(&mut browser, "helo").await;

    bob.press(&mut browser, "react", Some("helo")).await;
    bob.press(&mut browser, "pick", Some("helo")).await;
    let chip = "document.querySelector('[data-testid=reaction-count]')?.textContent === '1'";
    alice.wait_until(&mut browser, chip).await;

    alice.press(&mut browser, "edit", Some("helo")).await;
    let rewrite = "document.querySelector('[data-testid=edit-text]').value = 'hello'";
    alice.look(&mut browser, rewrite).await;
    alice.press(&mut browser, "edit-save", None).await;
    bob.wait_for_message(&mut browser, "hello (edited)").await;
    bob.picture(&mut browser, "edited").await;

    alice.press(&mut browser, "delete", None).await;
    let asked = "document.querySelector('[data-testid=dialog]').open";
    alice.wait_until(&mut browser, asked).await;
    alice.press(&mut browser, "dialog-ok", None).await;
    let gone = "document.querySelector('.message.deleted') && !document.body.textContent.includes('hello')";
    bob.wait_until(&mut browser, gone).await;
    for tab in [&alice, &bob] {
        tab.assert_no_complaints(&browser);
    }
}

#[tokio::test]
async fn who_comes_later_finds_everything_as_it_was() {
    let server = ServerProcess::start(&[]);
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    for n in 0..5 {
        alice.say(&mut browser, &format!("message {n}")).await;
    }
    alice.wait_for_message(&mut browser, "message 4").await;
    let before = alice.messages(&mut browser).await;
    let bob = Tab::open(&mut browser, &server.url(), "bob").await;
    bob.wait_for_message(&mut browser, "message 4").await;
    assert_eq!(bob.messages(&mut browser).await, before);
    assert_eq!(before.len(), 5);
    bob.assert_no_complaints(&browser);
}

/// A name is not enough there, so the page asks for what is.
#[tokio::test]
async fn where_tokens_are_needed_the_page_asks_for_one_and_keeps_it() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let jwt = [
        "--auth",
        "jwt",
        "--jwt-secret-file",
        secret.to_str().unwrap(),
    ];
    let server = ServerProcess::start(&jwt);
    let token = ["token", "--user", "alice"];
    let token = ServerProcess::run(&token, &[("CHAT_JWT_SECRET", SECRET)]).output;

    let mut browser = Chromium::start().await;
    let tab = Tab::visit(&mut browser, &server.url(), "mallory").await;
    let asked = "document.querySelector('[data-testid=dialog]').open";
    tab.wait_until(&mut browser, asked).await;
    tab.answer(&mut browser, "let me in").await;
    let told =
        "document.querySelector('[data-testid=dialog-error]').textContent.includes('no token')";
    tab.wait_until(&mut browser, told).await;
    tab.look(
        &mut browser,
        "document.querySelector('[data-testid=dialog-input]').select()",
    )
    .await;
    tab.answer(&mut browser, token.trim()).await;
    // The page starts again, as whoever the token is for.
    tab.wait_for_reload(&mut browser).await;
    tab.wait_for_state(&mut browser, "online").await;
    tab.say(&mut browser, "it is me").await;
    tab.wait_for_message(&mut browser, "it is me").await;
    let said = pairs(&[("alice", "it is me")]);
    assert_eq!(tab.messages(&mut browser).await, said);
    tab.assert_no_complaints(&browser);
}

/// An expression: what is in an element of a room's line in the list, or nothing.
fn in_list(room: &str, testid: &str) -> String {
    format!("document.querySelector('[data-room={room}] [data-testid={testid}]')?.textContent")
}

async fn go_to(tab: &Tab, browser: &mut Chromium, room: &str) {
    let address = format!("location.hash = '#{room}'");
    tab.look(browser, &address).await;
    let shown =
        format!("document.querySelector('[data-testid=room-name]').textContent === '{room}'");
    tab.wait_until(browser, &shown).await;
}

#[tokio::test]
async fn what_is_unread_and_mentions_somebody_is_counted_until_he_sees_it_on_any_tab() {
    let server = ServerProcess::start(&[]);
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    let too = Tab::open(&mut browser, &server.url(), "alice").await;
    for tab in [&alice, &too] {
        go_to(tab, &mut browser, "side").await;
    }
    let bob = Tab::open(&mut browser, &server.url(), "bob").await;
    go_to(&bob, &mut browser, "general").await;
    for text in ["hello", "are you there, @alice?", "oops"] {
        bob.say(&mut browser, text).await;
    }
    bob.wait_for_message(&mut browser, "oops").await;
    let (unread, mentions) = (in_list("general", "unread"), in_list("general", "mentions"));
    let counted = format!("{unread} === '3' && {mentions} === '@1'");
    for tab in [&alice, &too] {
        tab.wait_until(&mut browser, &counted).await;
        tab.wait_until(&mut browser, "document.title.startsWith('(3) #side')")
            .await;
    }
    alice.picture(&mut browser, "unread").await;

    bob.press(&mut browser, "delete", Some("oops")).await;
    bob.press(&mut browser, "dialog-ok", None).await;
    let fewer = format!("{unread} === '2' && {mentions} === '@1'");
    alice.wait_until(&mut browser, &fewer).await;

    go_to(&alice, &mut browser, "general").await;
    let nothing = format!("{unread} === undefined && {mentions} === undefined");
    for tab in [&alice, &too] {
        tab.wait_until(&mut browser, &nothing).await;
    }
    // What is seen as it comes is not unread, here nor there.
    bob.say(&mut browser, "welcome, @alice").await;
    alice
        .wait_for_message(&mut browser, "welcome, @alice")
        .await;
    assert_eq!(alice.look(&mut browser, &nothing).await, true);
    too.wait_until(&mut browser, &nothing).await;
    for tab in [&alice, &too, &bob] {
        tab.assert_no_complaints(&browser);
    }
}

/// A condition: how somebody is in the list of people, for those who see colours and those who do not.
fn stands(user: &str, status: &str, words: &str) -> String {
    format!(
        "(() => {{
           const person = document.querySelector('[data-testid=person][data-user={user}]');
           const dot = person?.querySelector('[data-testid=status]');
           return dot?.dataset.status === '{status}'
             && dot.getAttribute('aria-label').toLowerCase() === '{status}'
             && (person.querySelector('[data-testid=person-status]')?.textContent ?? '') === '{words}';
         }})()"
    )
}

async fn choose(tab: &Tab, browser: &mut Chromium, status: &str) {
    let choice = format!(
        "(() => {{
           const select = document.querySelector('[data-testid=my-status]');
           select.value = '{status}';
           select.dispatchEvent(new Event('change'));
         }})()"
    );
    tab.look(browser, &choice).await;
}

#[tokio::test]
async fn how_people_are_is_shown_to_those_who_are_there_and_to_those_who_come() {
    let server = ServerProcess::start(&[]);
    let mut browser = Chromium::start().await;
    let alice = Tab::open(&mut browser, &server.url(), "alice").await;
    let bob = Tab::open(&mut browser, &server.url(), "bob").await;
    bob.wait_until(&mut browser, &stands("alice", "online", ""))
        .await;
    for (status, words) in [("busy", "Busy"), ("away", "Away")] {
        choose(&alice, &mut browser, status).await;
        for tab in [&alice, &bob] {
            tab.wait_until(&mut browser, &stands("alice", status, words))
                .await;
        }
    }
    let carol = Tab::open(&mut browser, &server.url(), "carol").await;
    carol
        .wait_until(&mut browser, &stands("alice", "away", "Away"))
        .await;
    carol
        .wait_until(&mut browser, &stands("bob", "online", ""))
        .await;
    carol.picture(&mut browser, "people").await;
    choose(&alice, &mut browser, "online").await;
    for tab in [&alice, &bob, &carol] {
        tab.wait_until(&mut browser, &stands("alice", "online", ""))
            .await;
        tab.assert_no_complaints(&browser);
    }
}
