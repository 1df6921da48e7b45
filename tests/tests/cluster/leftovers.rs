//! Which keys may be in Redis when everybody has left: what is documented to stay, and nothing of
//! who was where.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::run::{PATIENCE, Run};

/// Waits until all presence is gone but the leases of the nodes that live, and checks that what
/// stays for ever is meant to.
pub(crate) async fn assert_gone(run: &Run) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = left(run).await;
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "nobody is here, but: {left:?}");
        sleep(Duration::from_millis(20)).await;
    }
    for key in run.server.keys().await {
        let ttl = run.server.query(&["PTTL", &key]).await.texts();
        assert_eq!(ttl == ["-1"], is_for_ever(&key), "{key} lives {ttl:?} ms");
    }
}

/// What should not be there.
async fn left(run: &Run) -> Vec<String> {
    let mut left = run.server.keys().await;
    left.retain(|key| !stays(run, key));
    let nodes = run.server.query(&["ZRANGE", "chat:nodes", "0", "-1"]).await;
    let leased: Vec<_> = run.server.keys().await;
    // Generations that nobody has swept yet.
    let dead = nodes.texts().into_iter();
    left.extend(dead.filter(|node| !leased.contains(&format!("chat:node:{node}"))));
    left
}

fn stays(run: &Run, key: &str) -> bool {
    const OF_ROOMS: [&str; 6] = ["log", "head", "keys:cur", "keys:prev", "room", "members"];
    if let Some(node) = key.strip_prefix("chat:node:") {
        let mut lives = run.nodes.iter().map(|node| node.service.instance());
        return lives.any(|id| node.strip_prefix(&format!("{id}.")).is_some_and(is_number));
    }
    is_for_ever(key)
        // A change of his memberships whose end was lost: the next who asks for them counts it.
        || (key.starts_with("chat:user:{") && key.ends_with("}:changing"))
        || key.strip_prefix("chat:{").is_some_and(|rest| {
            let what = rest.split_once("}:").map(|(_, what)| what);
            what.is_some_and(|what| OF_ROOMS.contains(&what))
        })
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn is_for_ever(key: &str) -> bool {
    let of_a_room = key.starts_with("chat:{") && !key.contains("}:keys");
    let of_a_user = key.starts_with("chat:user:{");
    let ends_with = |all: &[&str]| all.iter().any(|what| key.ends_with(what));
    ["chat:nodes", "chat:rooms"].contains(&key)
        || (of_a_room && ends_with(&["}:room", "}:members", "}:markers"]))
        || (of_a_user && ends_with(&["}:rooms", "}:about"]))
}
