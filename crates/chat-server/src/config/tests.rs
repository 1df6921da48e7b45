//! The configuration from the outside: sources in, configuration or mistakes out.

use std::io::Write as _;

use clap::{CommandFactory as _, Parser as _};
use tempfile::NamedTempFile;

use super::limits::LIMIT_KEYS;
use super::*;
use crate::cli::Cli;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    let owned = pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn load(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut typed = vec!["chat-server".to_owned()];
    typed.extend(arguments.iter().map(|word| (*word).to_owned()));
    let cli = Cli::try_parse_from(&typed).unwrap();
    Config::load(&cli.serve, &typed, &environment(variables))
}

/// The places and problems of a configuration that must not hold.
fn mistakes(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let error = load(arguments, variables).unwrap_err();
    let shown = error.mistakes.into_iter();
    shown
        .map(|found| format!("{}: {}", found.place, found.problem))
        .collect()
}

#[test]
fn nothing_said_means_this_machine_alone_in_memory() {
    let config = load(&[], &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.redis, None);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(
        (config.log.as_str(), config.log_format),
        ("info", LogFormat::Text)
    );
}

#[test]
fn a_flag_wins_over_the_environment_that_wins_over_the_file() {
    let file = file("listen = '127.0.0.1:1'\nlog = 'trace'\nlog_format = 'json'");
    let path = file.path().to_str().unwrap();
    let variables = [("CHAT_LISTEN", "127.0.0.1:2"), ("CHAT_LOG", "debug")];
    let config = load(&["--config", path, "--listen", "127.0.0.1:3"], &variables).unwrap();
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.log, "debug");
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn our_own_variables_win_over_those_that_others_set() {
    let variables = [
        ("CHAT_REDIS", "redis://ours"),
        ("REDIS_URL", "redis://theirs"),
        ("RUST_LOG", "warn"),
    ];
    let config = load(&[], &variables).unwrap();
    assert_eq!(config.redis.unwrap().to_string(), "redis://ours");
    assert_eq!(config.log, "warn");
}

#[test]
fn an_empty_variable_is_not_set() {
    let variables = [("REDIS_URL", ""), ("CHAT_LISTEN", ""), ("CHAT_CONFIG", "")];
    assert_eq!(load(&[], &variables).unwrap(), load(&[], &[]).unwrap());
}

#[test]
fn redis_without_a_value_is_the_one_on_this_machine() {
    let config = load(&["--redis", "--log", "warn"], &[]).unwrap();
    assert_eq!(config.redis.unwrap().to_string(), "redis://127.0.0.1:6379");
}

#[test]
fn the_store_follows_from_the_broker_and_another_one_is_refused() {
    assert!(load(&["--store", "memory"], &[]).is_ok());
    assert!(load(&["--store", "redis", "--redis", "redis://h"], &[]).is_ok());
    let alone = mistakes(&["--store", "memory", "--redis", "redis://h"], &[]);
    assert!(
        alone[0].starts_with("--store: memory is this node's alone"),
        "{alone:?}"
    );
    let file = mistakes(&["--store", "sqlite:x.db", "--redis", "redis://h"], &[]);
    assert!(file[0].contains("take --store postgres://"), "{file:?}");
    let nowhere = mistakes(&["--store", "redis"], &[]);
    assert!(nowhere[0].contains("add --redis URL"), "{nowhere:?}");
}

#[test]
fn rooms_are_in_a_file_unless_redis_or_somebody_says_otherwise() {
    let store = |arguments: &[&str]| load(arguments, &[]).unwrap().store;
    let path = |store: &Store| match store {
        Store::Sql(sql) => sql.url.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(path(&store(&[])), "sqlite:data/chat.db");
    assert_eq!(path(&store(&["--store", "sqlite:/x.db"])), "sqlite:/x.db");
    assert_eq!(store(&["--redis"]), Store::Redis);
    assert_eq!(store(&["--store", "memory"]), Store::Memory);
    let shared = store(&["--redis", "--store", "postgres://u:s3cret@h/d"]);
    assert_eq!(path(&shared), "postgres://…@h/d");
}

#[test]
fn what_databases_keep_and_sync_is_said_and_refused_where_there_is_none() {
    let arguments = ["--sqlite-sync", "normal", "--retain-for", "90d"];
    let Store::Sql(sql) = load(&arguments, &[("CHAT_RETAIN_MESSAGES", "5")])
        .unwrap()
        .store
    else {
        panic!("no database");
    };
    assert_eq!(sql.durability, chat_sql::Durability::Normal);
    assert_eq!(
        sql.retain_for,
        Some(std::time::Duration::from_secs(90 * 86_400))
    );
    assert_eq!(sql.retain_messages, Some(5));
    for wrong in [
        vec!["--retain-for", "0s"],
        vec!["--retain-messages", "none"],
        vec!["--sqlite-sync", "never"],
        vec!["--store", "memory", "--retain-messages", "5"],
        vec!["--store", "postgres://h/d", "--sqlite-sync", "full"],
        vec!["--store", "mysql://u:s3cret@h/d"],
    ] {
        let found = mistakes(&wrong, &[]).join("\n");
        assert!(!found.contains("s3cret"), "{found}");
    }
}

#[test]
fn a_redis_behind_tls_that_nobody_shall_check_is_refused_with_the_reason() {
    let found = mistakes(&["--redis", "rediss://:w0rd@h/#insecure"], &[]).join("\n");
    assert!(found.contains("take #insecure off"), "{found}");
    assert!(!found.contains("w0rd"), "{found}");
}

#[test]
fn all_mistakes_of_all_sources_are_reported_at_once() {
    let file = file(
        "listen = 8080\nlog_formt = 'json'\nallowed_origin = ['https://a.example/path']\n\
         [limits]\nlanes = 0\nnode_ttl = 10\nleave_grase = '5s'\n",
    );
    let path = file.path().to_str().unwrap();
    let variables = [("CHAT_LOG_FORMAT", "xml"), ("CHAT_LIMITS", "log_ttl=soon")];
    let found = mistakes(&["--config", path, "--redis", "http://x"], &variables);
    let expected = [
        format!("{path}: listen: 8080 is not an address and a port"),
        "--redis: is not a Redis address".to_owned(),
        format!("{path}: allowed_origin: \"https://a.example/path\" is not an origin"),
        "CHAT_LOG_FORMAT: \"xml\" is not text or json".to_owned(),
        "CHAT_LIMITS log_ttl: \"soon\" is not a time with its unit".to_owned(),
        format!("{path}: limits.lanes: 0 is outside 1 to 1024"),
        format!("{path}: limits.node_ttl: 10 is not a time with its unit"),
        format!("{path}: limits.leave_grase: there is no such key; did you mean leave_grace?"),
        format!("{path}: log_formt: there is no such key; did you mean log_format?"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn a_mistake_is_reported_even_where_a_flag_overrides_it() {
    let found = mistakes(&["--listen", "127.0.0.1:0"], &[("CHAT_LISTEN", "here")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("CHAT_LISTEN: \"here\""), "{found:?}");
}

#[test]
fn listening_for_other_machines_is_refused_with_the_command_that_would_do_it() {
    for address in ["0.0.0.0:8080", "[::]:80", "192.0.2.1:80"] {
        let found = mistakes(&["--listen", address], &[]).join("\n");
        let command = format!("chat-server --listen {address} --insecure-anonymous");
        assert!(found.contains(&command), "{found}");
    }
    let wide = ["--listen", "0.0.0.0:8080"];
    assert!(load(&wide, &[("CHAT_INSECURE_ANONYMOUS", "yes")]).is_ok());
    assert!(load(&wide, &[("CHAT_INSECURE_ANONYMOUS", "no")]).is_err());
    let consent = ["--listen", "0.0.0.0:8080", "--insecure-anonymous"];
    assert!(load(&consent, &[]).is_ok());
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn other_machines_may_come_with_tokens() {
    let wide = ["--listen", "0.0.0.0:1", "--auth", "jwt"];
    let secret = [("CHAT_JWT_SECRET", SECRET)];
    let jwt = load(&wide, &secret).unwrap().jwt.unwrap();
    assert!(jwt.issuers.is_empty() && jwt.audiences.is_empty());
    let refused = mistakes(&["--listen", "0.0.0.0:1"], &[]).join("\n");
    let command = "chat-server --listen 0.0.0.0:1 --auth jwt --jwt-secret-file secret";
    assert!(refused.contains(command), "{refused}");
}

#[test]
fn tokens_need_one_thing_to_be_checked_with() {
    let jwt = ["--auth", "jwt"];
    let file = file(&format!("{SECRET}\n"));
    let path = file.path().to_str().unwrap();
    assert!(load(&[&jwt[..], &["--jwt-secret-file", path]].concat(), &[]).is_ok());
    let cases: &[(&[&str], &str)] = &[
        (&[], "--auth: jwt needs something to check tokens with"),
        (
            &["--jwt-secret", SECRET, "--jwt-secret-file", path],
            "--jwt-secret-file: there is jwt_secret too",
        ),
        (
            &["--jwt-secret", "short"],
            "--jwt-secret: the secret has less than 32 bytes",
        ),
        (&["--jwt-key", path], "has no key that can be used"),
        (
            &["--jwt-key", "/nowhere"],
            "--jwt-key: /nowhere cannot be read",
        ),
        (
            &["--jwt-secret", SECRET, "--insecure-anonymous"],
            "nobody comes in without a token",
        ),
    ];
    for (more, expected) in cases {
        let found = mistakes(&[&jwt, *more].concat(), &[]).join("\n");
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains(SECRET), "{found}");
    }
}

#[test]
fn what_is_about_tokens_is_of_no_use_without_them() {
    let variables = [("CHAT_JWT_SECRET", SECRET), ("CHAT_JWT_AUDIENCE", "chat")];
    let found = mistakes(&["--allow-token-in-url"], &variables);
    let expected = [
        "CHAT_JWT_SECRET",
        "CHAT_JWT_AUDIENCE",
        "--allow-token-in-url",
    ];
    for (found, place) in found.iter().zip(expected) {
        assert_eq!(found, &format!("{place}: is of no use without --auth jwt"));
    }
    assert_eq!(found.len(), expected.len(), "{found:?}");
}

#[test]
fn a_secret_is_shown_by_no_message_and_no_debug_output() {
    let config = load(&["--auth", "jwt", "--jwt-secret", SECRET], &[]).unwrap();
    assert!(!format!("{config:?}").contains(SECRET), "{config:?}");
    let equals = format!("--jwt-secret={SECRET}");
    for secret in [&["--jwt-secret", SECRET][..], &[&equals]] {
        let arguments = [&["--listen", "0.0.0.0:1"], secret].concat();
        let found = load(&arguments, &[]).unwrap_err().to_string();
        assert!(
            found.contains("--jwt-secret") && !found.contains(SECRET),
            "{found}"
        );
    }
}

#[test]
fn every_loopback_address_is_this_machine() {
    for address in [
        "127.0.0.2:0",
        "[::1]:0",
        "[::ffff:127.0.0.1]:0",
        "localhost:9",
    ] {
        assert!(load(&["--listen", address], &[]).is_ok(), "{address}");
    }
}

#[test]
fn the_refusal_quotes_what_a_shell_would_split_and_shows_no_password() {
    let arguments = [
        "--listen",
        "0.0.0.0:1",
        "--redis=:hunter2@h",
        "--store=postgres://h/d?user=me&password=hunter2",
        "--log",
        "a b=info",
    ];
    let found = load(&arguments, &[]).unwrap_err().to_string();
    let shown = "--redis=…@h '--store=postgres://h/d?…' --log 'a b=info' --insecure";
    assert!(found.contains(shown), "{found}");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn a_password_is_shown_by_no_message_and_no_debug_output() {
    let secret = "redis://user:pass%40w0rd@redis.example:6380/2";
    let config = load(&["--redis", secret], &[]).unwrap();
    let shown = format!("{config:?} {}", config.redis.as_ref().unwrap());
    assert!(shown.contains("redis://…@redis.example:6380/2"), "{shown}");
    assert!(
        !shown.contains("w0rd") && !shown.contains("pass"),
        "{shown}"
    );

    let file = file("redis = 'redis://:w0rd@h' oops");
    let path = file.path().to_str().unwrap();
    let found = mistakes(&["--config", path, "--redis", "http://:w0rd@h"], &[]).join("\n");
    assert!(found.contains("line 1 is not TOML"), "{found}");
    assert!(!found.contains("w0rd"), "{found}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let found = mistakes(&["--config", "/nowhere/chat.toml"], &[]);
    assert!(
        found[0].starts_with("/nowhere/chat.toml: cannot be read: "),
        "{found:?}"
    );
}

#[test]
fn limits_that_are_no_table_are_refused() {
    let file = file("limits = 3");
    let found = mistakes(&["--config", file.path().to_str().unwrap()], &[]);
    assert!(found[0].contains("limits: 3 is not a table"), "{found:?}");
}

#[test]
fn limits_are_read_from_file_flag_and_environment() {
    let file = file("[limits]\nnode_ttl = '3s'\nlanes = 2\nlog_max = 10_000\ntyping_ttl = '1s'");
    let path = file.path().to_str().unwrap();
    let arguments = [
        "--config",
        path,
        "--limit",
        "node_ttl=1s",
        "--limit",
        "lane_queue=1_000",
    ];
    let variables = [("CHAT_LIMITS", "lanes=4, node_ttl=2s")];
    let limits = load(&arguments, &variables).unwrap().limits;
    assert_eq!(limits.node_ttl.as_secs(), 1);
    assert_eq!((limits.lanes, limits.lane_queue), (4, 1000));
    assert_eq!(limits.typing_ttl.as_secs(), 1);
}

#[test]
fn a_time_outside_its_range_is_refused_with_the_range() {
    let found = mistakes(&["--limit", "node_ttl=1ms"], &[]);
    assert_eq!(found, ["--limit node_ttl: 1ms is outside 500ms to 10m"]);
}

#[test]
fn a_limit_flag_without_a_value_is_a_mistake() {
    let found = mistakes(&["--limit", "lanes"], &[]);
    assert!(
        found[0].starts_with("--limit lanes: \"\" is not a whole number"),
        "{found:?}"
    );
}

/// The fields of [`Limits`], out of its debug output: it cannot be taken apart outside its crate.
fn fields(limits: &Limits) -> BTreeMap<String, String> {
    let shown = format!("{limits:?}");
    let inside = shown.trim_start_matches("Limits { ").trim_end_matches(" }");
    let pairs = inside
        .split(", ")
        .map(|field| field.split_once(": ").unwrap());
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn every_limit_of_the_engine_can_be_configured() {
    let defaults = Limits::default();
    let keys: BTreeMap<String, String> = LIMIT_KEYS
        .iter()
        .map(|key| (key.name.to_owned(), (key.show)(&defaults)))
        .collect();
    assert_eq!(keys, fields(&defaults));
}

#[test]
fn every_default_is_a_value_that_could_be_configured() {
    for key in LIMIT_KEYS {
        let shown = (key.show)(&Limits::default());
        let mut limits = Limits::default();
        (key.read)(&mut limits, &limits::value_from_text(&shown)).unwrap();
        assert_eq!(limits, Limits::default(), "{}", key.name);
    }
}

/// A default as people write it: `1h`, not `3600s`.
fn written(key: &limits::LimitKey) -> String {
    let shown = (key.show)(&Limits::default());
    match humantime::parse_duration(&shown) {
        Ok(duration) => humantime::format_duration(duration).to_string(),
        Err(_) => shown,
    }
}

#[test]
fn the_document_lists_every_flag_variable_and_limit_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut missing = Vec::new();
    for key in LIMIT_KEYS {
        let row = format!("| `{}` | `{}` |", key.name, written(key));
        missing.extend((!document.contains(&row)).then_some(row));
    }
    let flags = Cli::command();
    let flags = flags.get_arguments().filter_map(|flag| flag.get_long());
    let flags = flags.filter(|name| !["help", "version"].contains(name));
    let names = flags.map(|name| format!("`--{name}`"));
    let variables = VARIABLES.iter().flat_map(|(_, names)| *names);
    let names = names.chain(variables.map(|name| format!("`{name}`")));
    missing.extend(names.filter(|name| !document.contains(name)));
    assert!(
        missing.is_empty(),
        "docs/configuration.md lacks {missing:#?}"
    );
}

#[test]
fn the_help_names_every_variable() {
    let help = Cli::command().render_long_help().to_string();
    let names = VARIABLES.iter().flat_map(|(_, names)| *names);
    for name in names.chain(&["CHAT_CONFIG", "CHAT_LIMITS"]) {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}
