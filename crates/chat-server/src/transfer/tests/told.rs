//! What the command line, the environment and the file say of the store.

use clap::Parser as _;

use crate::cli::{Cli, Task};
use crate::config::{Config, Environment, Store};

use super::super::TransferError;

/// What an export would be configured with.
fn told(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, TransferError> {
    let typed = [&["chat-server", "export"], arguments].concat();
    let Some(Task::Export(export)) = Cli::try_parse_from(typed).unwrap().command else {
        panic!("an export");
    };
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    export.store.config(&owned.collect::<Environment>())
}

#[test]
fn another_store_sets_aside_the_redis_of_the_environment_and_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "redis = 'redis://127.0.0.1:1'\nlog = 'debug'\n";
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let elsewhere = ["--store", "sqlite:other.db", "--config", path];
    let variables = [
        ("REDIS_URL", "redis://127.0.0.1:2"),
        ("CHAT_REDIS", "nonsense"),
    ];
    for variables in [&[][..], &variables] {
        let config = told(&elsewhere, variables).unwrap();
        assert!(matches!(config.store, Store::Sql(_)), "{config:?}");
        assert_eq!((config.redis, config.log.as_str()), (None, "debug"));
    }
    for same in [
        &["--config", path][..],
        &["--config", path, "--store", "redis"],
    ] {
        let config = told(same, &[]).unwrap();
        assert_eq!(config.store, Store::Redis);
        assert!(config.redis.is_some());
    }
}

#[test]
fn limits_of_the_servers_can_be_told_as_they_are_told_them() {
    let flag = ["--redis", "redis://127.0.0.1:1", "--limit", "log_max=50"];
    let config = told(&flag, &[("CHAT_LIMITS", "log_max=40,log_ttl=7days")]).unwrap();
    assert_eq!(config.limits.log_max, 50);
    assert_eq!(config.limits.log_ttl.as_secs(), 7 * 24 * 3_600);
    let mistaken = told(&["--limit", "log_maxx=50"], &[]).unwrap_err();
    assert!(mistaken.to_string().contains("log_max"), "{mistaken}");
    assert_eq!(mistaken.code(), 2);
}
