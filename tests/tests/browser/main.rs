//! The page in a real browser, from the real server: people in tabs, as in the README.
//!
//! - `chromium`: the browser as a child process, spoken to in its own protocol · `tab`: one page
//! - `proxy`: the network between a tab and the server, which can be cut
//! - `scenarios`: what people do
//!
//! Set `CHAT_TESTS_SCREENSHOTS` to a directory to see what the tabs looked like at the end.

mod chromium;
mod proxy;
mod scenarios;
mod tab;
