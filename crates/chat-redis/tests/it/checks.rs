//! What is looked at before a node starts.

use chat_redis::{CheckError, RedisConfig, Warning, check_server};

use crate::support::{self, Server};

#[tokio::test]
async fn a_good_server_passes_and_one_that_evicts_is_warned_of() {
    let server = Server::start().await;
    let config = support::config(&server.url());
    assert_eq!(check_server(&config).await, Ok(Vec::new()));
    server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let warnings = check_server(&config).await.unwrap();
    assert_eq!(warnings, [Warning::Evicts("allkeys-lru".to_owned())]);
    assert!(warnings[0].to_string().contains("noeviction"));
}

#[tokio::test]
async fn a_server_that_is_away_or_refuses_is_told_apart() {
    let mut server = Server::start().await;
    server.run(&["CONFIG", "SET", "requirepass", "secret"]);
    let url = server.url().replace("//", "//:secret@");
    let config = support::config(&url);
    assert_eq!(check_server(&config).await, Ok(Vec::new()));
    for wrong in ["//", "//:wrong-one@", "//nobody:secret@"] {
        let wrong = support::config(&server.url().replace("//", wrong));
        let refused = check_server(&wrong).await.unwrap_err();
        assert!(matches!(refused, CheckError::Refused { .. }), "{refused:?}");
        assert!(!refused.is_retryable());
        let told = refused.to_string();
        assert!(told.contains("check user, password and database"), "{told}");
        assert!(
            !told.contains("wrong-one") && !told.contains("secret"),
            "{told}"
        );
    }
    let no_such = support::config(&format!("{url}100000"));
    let refused = check_server(&no_such).await.unwrap_err();
    assert!(matches!(refused, CheckError::Refused { .. }), "{refused:?}");
    server.stop();
    let away = check_server(&config).await.unwrap_err();
    assert!(away.is_retryable(), "{away}");
    assert!(!away.to_string().contains("secret"), "{away}");
    let mut bad: RedisConfig = config;
    bad.prefix = String::new();
    let refused = check_server(&bad).await;
    assert!(matches!(refused, Err(CheckError::Config(_))));
}
