//! The command line: what can be asked for, and the help that a stranger reads.
//!
//! Values stay text here, so that the configuration can report every mistake at once, whichever
//! of flag, environment or file made it.

#![cfg_attr(
    doc,
    allow(
        rustdoc::bare_urls,
        rustdoc::broken_intra_doc_links,
        reason = "these comments are the help of the command line, which is read as it is"
    )
)]

use clap::{Parser, Subcommand};

use crate::auth::TokenArgs;
use crate::health_check::HealthArgs;
use crate::revoke::RevokeArgs;
use crate::transfer::{ExportArgs, ImportArgs};

/// What an address without a value after `--redis` means.
pub(crate) const REDIS_DEFAULT: &str = "redis://127.0.0.1:6379";

const AFTER_HELP: &str = "\
Examples:
  chat-server                                     on this machine, then open http://127.0.0.1:8080/
  chat-server --listen 127.0.0.1:9000             on another port
  chat-server --listen 0.0.0.0:8080 --insecure-anonymous
                                                  for everybody who reaches this machine
  chat-server --listen 0.0.0.0:8080 --auth jwt --jwt-secret-file secret
                                                  for everybody who has a token
  chat-server token --user alice --jwt-secret-file secret
                                                  a token for alice, good for an hour
  chat-server --redis redis://10.0.0.5:6379       one of many nodes that share a chat
  chat-server --redis redis://10.0.0.5:6379 --store postgres://chat@10.0.0.6/chat
                                                  the same, with history in PostgreSQL
  chat-server export --out backup.jsonl           everything, in one file
  chat-server import --store postgres://chat@10.0.0.6/chat backup.jsonl
                                                  the same, into another store

A flag wins over its environment variable, which wins over the file, which wins over the default.";

/// Chat rooms over WebSocket, on one machine or on many that share a Redis.
///
/// Without any option it serves this machine alone, on http://127.0.0.1:8080/, keeps rooms in
/// data/chat.db and lets anybody take any name. The page to chat on, the health checks and the metrics
/// are on the same port.
#[derive(Debug, Default, Parser)]
#[command(
    name = "chat-server",
    version,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Task>,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Ask a running server whether it is ready: exit code 0 if so, 1 if not. For containers.
    ///
    /// It sees the variables and the file that the server was told by, but not its flags: of these it
    /// needs --listen, --tls-cert and --config.
    Health(HealthArgs),
    /// Make a token for somebody and print it. For trying things out, for bots and for operators.
    Token(Box<TokenArgs>),
    /// Let a user or a token in no more, on all nodes of a Redis, and close their connections.
    Revoke(RevokeArgs),
    /// Write everything that a store has as lines of JSON: rooms, members, messages. A server may run.
    Export(ExportArgs),
    /// Read what export has written into a store without rooms, on which no server runs.
    Import(ImportArgs),
}

/// The flags of the server itself.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one.
    ///
    /// An address that other machines reach needs --auth jwt or --insecure-anonymous.
    ///
    /// [env: CHAT_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,

    /// Let everybody who reaches this server in, by any name he types.
    ///
    /// [env: CHAT_INSECURE_ANONYMOUS]
    #[arg(long)]
    pub(crate) insecure_anonymous: bool,

    /// Who may come in: development (anybody, by any name), or jwt (whoever has a token).
    ///
    /// [env: CHAT_AUTH] [default: development]
    #[arg(long, value_name = "HOW")]
    pub(crate) auth: Option<String>,

    /// The secret that tokens are signed with (HS256), at least 32 bytes.
    ///
    /// Other users of this machine can see a flag: better take the variable or the file.
    ///
    /// [env: CHAT_JWT_SECRET]
    #[arg(long, value_name = "SECRET")]
    pub(crate) jwt_secret: Option<String>,

    /// A file with such a secret in each line, read again when it changes.
    ///
    /// [env: CHAT_JWT_SECRET_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_secret_file: Option<String>,

    /// A file with public keys for tokens, PEM or JWKS (RS256, ES256, EdDSA), read again when it
    /// changes.
    ///
    /// [env: CHAT_JWT_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_key: Option<String>,

    /// Who may have made a token (its iss); may be repeated. Without it: whoever has the key.
    ///
    /// [env: CHAT_JWT_ISSUER, separated by commas]
    #[arg(long, value_name = "TEXT")]
    pub(crate) jwt_issuer: Vec<String>,

    /// For whom a token may be (its aud); may be repeated. Without it: only tokens that do not say.
    ///
    /// [env: CHAT_JWT_AUDIENCE, separated by commas]
    #[arg(long, value_name = "TEXT")]
    pub(crate) jwt_audience: Vec<String>,

    /// Take a token in the URL too, as in /ws?token=TOKEN. URLs end up in logs.
    ///
    /// [env: CHAT_ALLOW_TOKEN_IN_URL]
    #[arg(long)]
    pub(crate) allow_token_in_url: bool,

    /// Serve https and wss with this chain of certificates (PEM), read again when it changes.
    ///
    /// [env: CHAT_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,

    /// The private key that goes with it (PEM).
    ///
    /// [env: CHAT_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,

    /// Share rooms with other nodes through this Redis or Valkey.
    ///
    /// Without a value: redis://127.0.0.1:6379. The server starts without its Redis too: it waits
    /// for it, and is not ready meanwhile.
    ///
    /// [env: CHAT_REDIS, REDIS_URL] [default: this node is alone]
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = REDIS_DEFAULT
    )]
    pub(crate) redis: Option<String>,

    /// Where rooms and their history are kept: sqlite:PATH, postgres://…, redis, or memory.
    ///
    /// An SQLite file is made where there is none. PostgreSQL serves many nodes together with
    /// --redis. What is in memory is gone when the server stops.
    ///
    /// [env: CHAT_STORE] [default: redis with --redis, otherwise sqlite:data/chat.db]
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,

    /// When SQLite syncs: full (each message, before it is acked) or normal (a crash of the machine
    /// may lose the last ones).
    ///
    /// [env: CHAT_SQLITE_SYNC] [default: full]
    #[arg(long, value_name = "WHEN")]
    pub(crate) sqlite_sync: Option<String>,

    /// How long a database keeps messages, such as 90d.
    ///
    /// [env: CHAT_RETAIN_FOR] [default: for ever]
    #[arg(long, value_name = "DURATION")]
    pub(crate) retain_for: Option<String>,

    /// How many messages of each room a database keeps.
    ///
    /// [env: CHAT_RETAIN_MESSAGES] [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(crate) retain_messages: Option<String>,

    /// What all keys and channels in Redis begin with; clusters that share a Redis need different
    /// ones.
    ///
    /// [env: CHAT_REDIS_PREFIX] [default: chat:]
    #[arg(long, value_name = "PREFIX")]
    pub(crate) redis_prefix: Option<String>,

    /// What this node listens to in Redis: rooms (each that it serves), or all (one pattern).
    ///
    /// [env: CHAT_REDIS_SUBSCRIBE] [default: rooms]
    #[arg(long, value_name = "MODE")]
    pub(crate) redis_subscribe: Option<String>,

    /// Let pages of this origin connect, such as https://chat.example.org; may be repeated.
    ///
    /// Pages that this server serves may always connect, and so may programs that are no browsers.
    /// With * any page may connect.
    ///
    /// [env: CHAT_ALLOWED_ORIGIN, separated by commas]
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allowed_origin: Vec<String>,

    /// Believe what proxies at this address or in this network say of who connects; may be repeated.
    ///
    /// Such as 10.0.0.0/8. They say it in X-Forwarded-For or Forwarded; limits per address then
    /// count clients instead of proxies.
    ///
    /// [env: CHAT_TRUSTED_PROXIES, separated by commas]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) trusted_proxies: Vec<String>,

    /// Change a limit, such as node_ttl=5s; may be repeated. docs/configuration.md lists them.
    ///
    /// [env: CHAT_LIMITS, separated by commas]
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) limit: Vec<String>,

    /// Read options from this TOML file; its keys are these flags, with _ for -.
    ///
    /// Limits are in its table [limits].
    ///
    /// [env: CHAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,

    /// What to log: error, warn, info, debug, trace, or a list such as info,chat_ws=debug.
    ///
    /// [env: CHAT_LOG, RUST_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,

    /// How to log: text or json. Logs go to stderr.
    ///
    /// [env: CHAT_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}
