//! One tab with the page in it, and what a person sees and does there.

use std::env;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::chromium::Chromium;

/// A tab of a browser.
pub(crate) struct Tab {
    session: String,
    name: String,
}

impl Tab {
    /// Opens the page for a user, and waits until it is online.
    pub(crate) async fn open(browser: &mut Chromium, page: &str, user: &str) -> Self {
        let tab = Self::visit(browser, page, user).await;
        tab.wait_for_state(browser, "online").await;
        tab
    }

    /// Opens the page for a user, whether he is let in or not.
    pub(crate) async fn visit(browser: &mut Chromium, page: &str, user: &str) -> Self {
        let window = json!({"url": "about:blank", "newWindow": true});
        let target = browser.call(None, "Target.createTarget", window).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call(None, "Target.attachToTarget", attach).await;
        let tab = Self {
            session: attached["sessionId"].as_str().expect("an id").to_owned(),
            name: user.to_owned(),
        };
        for method in ["Page.enable", "Runtime.enable", "Log.enable"] {
            tab.call(browser, method, json!({})).await;
        }
        let focused = json!({"enabled": true});
        tab.call(browser, "Emulation.setFocusEmulationEnabled", focused)
            .await;
        let to = json!({"url": format!("{page}/?user={user}")});
        tab.call(browser, "Page.navigate", to).await;
        browser.event(&tab.session, "Page.loadEventFired", 1).await;
        tab
    }

    /// Waits until the page has started for the second time.
    pub(crate) async fn wait_for_reload(&self, browser: &mut Chromium) {
        browser.event(&self.session, "Page.loadEventFired", 2).await;
    }

    async fn call(&self, browser: &mut Chromium, method: &str, params: Value) -> Value {
        browser.call(Some(&self.session), method, params).await
    }

    /// What an expression is in the page.
    pub(crate) async fn look(&self, browser: &mut Chromium, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true
        });
        let mut answer = self.call(browser, "Runtime.evaluate", params).await;
        let thrown = answer.get("exceptionDetails");
        assert!(thrown.is_none(), "{}: {expression}: {thrown:?}", self.name);
        answer["result"]["value"].take()
    }

    /// Waits until a condition holds in the page, looking whenever the page changes.
    pub(crate) async fn wait_until(&self, browser: &mut Chromium, condition: &str) {
        let waiting = format!(
            "new Promise((resolve) => {{
               const look = () => ({condition}) && (observer.disconnect(), resolve(true));
               const observer = new MutationObserver(look);
               const all = {{subtree: true, childList: true, characterData: true, attributes: true}};
               observer.observe(document, all);
               look();
             }})"
        );
        self.look(browser, &waiting).await;
    }

    /// Waits until the page says that its connection is in that state.
    pub(crate) async fn wait_for_state(&self, browser: &mut Chromium, state: &str) {
        let condition =
            format!("document.querySelector('[data-testid=app]')?.dataset.state === '{state}'");
        self.wait_until(browser, &condition).await;
    }

    /// Waits until a message with that text is shown.
    pub(crate) async fn wait_for_message(&self, browser: &mut Chromium, text: &str) {
        let condition = format!(
            "[...document.querySelectorAll('[data-testid=message] p[data-testid=text]')]
               .some((shown) => shown.textContent === {})",
            json!(text)
        );
        self.wait_until(browser, &condition).await;
    }

    /// Author and text of each message, from top to bottom, with those that wait to be sent.
    pub(crate) async fn messages(&self, browser: &mut Chromium) -> Vec<(String, String)> {
        let all = "[...document.querySelectorAll('[data-testid=message], [data-testid=pending]')]
            .filter((item) => item.getClientRects().length > 0)
            .map((item) => [
              item.dataset.from ?? 'waiting',
              item.querySelector('p')?.textContent ?? '',
            ])";
        let all = self.look(browser, all).await;
        serde_json::from_value(all).expect("a list of pairs")
    }

    /// Writes into the send box, as a keyboard does.
    pub(crate) async fn write(&self, browser: &mut Chromium, text: &str) {
        let focus = "document.querySelector('textarea[data-testid=text]').focus()";
        self.look(browser, focus).await;
        let text = json!({"text": text});
        self.call(browser, "Input.insertText", text).await;
    }

    /// Answers the page's dialog.
    pub(crate) async fn answer(&self, browser: &mut Chromium, text: &str) {
        let focus = "document.querySelector('[data-testid=dialog-input]').focus()";
        self.look(browser, focus).await;
        let text = json!({"text": text});
        self.call(browser, "Input.insertText", text).await;
        self.press(browser, "dialog-ok", None).await;
    }

    /// Writes and presses Enter.
    pub(crate) async fn say(&self, browser: &mut Chromium, text: &str) {
        self.write(browser, text).await;
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13,
                "text": if kind == "keyDown" { "\r" } else { "" }
            });
            self.call(browser, "Input.dispatchKeyEvent", key).await;
        }
    }

    /// Presses what has a `data-testid`, inside of the message with that text if one is given.
    pub(crate) async fn press(&self, browser: &mut Chromium, testid: &str, inside: Option<&str>) {
        let scope = inside.map_or("document".to_owned(), |text| {
            format!(
                "[...document.querySelectorAll('[data-testid=message]')].find((item) =>
                   item.querySelector('p[data-testid=text]').textContent === {})",
                json!(text)
            )
        });
        let click = format!("{scope}.querySelector('[data-testid={testid}]').click()");
        self.look(browser, &click).await;
    }

    /// Fails if the page complained: an exception, an error on the console, a violated policy.
    /// That a connection broke off is the network's doing, and told by the browser itself.
    pub(crate) fn assert_no_complaints(&self, browser: &Chromium) {
        let complaints: Vec<_> = browser
            .events_of(&self.session)
            .filter(|event| is_complaint(event))
            .collect();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", self.name);
    }

    /// A picture of the tab, if somebody wants to see one.
    pub(crate) async fn picture(&self, browser: &mut Chromium, what: &str) {
        let Some(directory) = env::var_os("CHAT_TESTS_SCREENSHOTS") else {
            return;
        };
        let shot = self
            .call(browser, "Page.captureScreenshot", json!({"format": "png"}))
            .await;
        let data = shot["data"].as_str().expect("a picture");
        let data = BASE64_STANDARD.decode(data).expect("base64");
        let file = format!("{what}-{}.png", self.name);
        std::fs::write(Path::new(&directory).join(file), data).expect("a picture can be kept");
    }
}

fn is_complaint(event: &Value) -> bool {
    let params = &event["params"];
    match event["method"].as_str() {
        Some("Runtime.exceptionThrown") => true,
        Some("Runtime.consoleAPICalled") => {
            ["error", "warning", "assert"].contains(&params["type"].as_str().unwrap_or_default())
        }
        Some("Log.entryAdded") => {
            let entry = &params["entry"];
            let text = entry["text"].as_str().unwrap_or_default();
            let is_network =
                entry["source"] == "network" || text.starts_with("WebSocket connection to");
            ["error", "warning"].contains(&entry["level"].as_str().unwrap_or_default())
                && !(is_network && text.contains("WebSocket"))
        }
        _ => false,
    }
}
