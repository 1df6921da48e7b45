//! `chat-server export` and `chat-server import`: everything of a store, as lines of JSON.
//!
//! Both go through it once, a page at a time: what they hold is bounded, however much there is. They
//! talk to the store alone and need no server.
//!
//! - `lines`: what the lines are · `export`: a store to lines · `import`: lines to a store
//! - `store`: the store that was named · `progress`: what the operator sees meanwhile

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use chat_core::{DirectoryError, ReadError, RestoreError, RoomId};
use tokio::runtime::Runtime;

use crate::cli::ServeArgs;
use crate::config::{Config, Environment};
use crate::wiring::WiringError;

mod export;
mod import;
mod lines;
mod progress;
mod store;
#[cfg(test)]
mod tests;

use export::Exporter;
use import::Importer;
use progress::{Progress, Scale};
use store::Handles;

/// What a file is called until all of it is there.
const UNFINISHED: &str = "part";
/// Lines are written and read in pieces of this size.
const BUFFER_BYTES: usize = 256 * 1024;

/// Which store.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// The store: sqlite:PATH, postgres://…, or redis.
    ///
    /// [env: CHAT_STORE] [default: redis with --redis, otherwise sqlite:data/chat.db]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Which Redis, if the store is redis. [env: CHAT_REDIS, REDIS_URL]
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// What all keys in Redis begin with. [env: CHAT_REDIS_PREFIX] [default: chat:]
    #[arg(long, value_name = "PREFIX")]
    redis_prefix: Option<String>,
    /// A limit that the servers of the store have changed, such as log_max=100000; may be repeated.
    /// Of Redis nothing older than log_max is read or kept.
    ///
    /// [env: CHAT_LIMITS, separated by commas]
    #[arg(long, value_name = "NAME=VALUE")]
    limit: Vec<String>,
    /// The file that the server is configured with, if it is. [env: CHAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
}

/// What to export.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Write to this file, which must not be there yet, instead of to the standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What to import.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Into a store that has rooms already: leave those as they are whose id is the same. For going on
    /// with an import that was cut off.
    #[arg(long)]
    skip_existing: bool,
    /// What `export` has written; - is the standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Why it was not done, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TransferError {
    /// Told wrongly: correct it.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
    /// There is nothing to be had from, or kept in, the memory of this process.
    #[error("what is in memory ends with its server: name another store with --store")]
    Memory,
    /// Name another file, or take this one away.
    #[error("{0}")]
    File(String),
    /// The store cannot be used: the cause says why.
    #[error("{0}")]
    Wiring(#[from] WiringError),
    /// Likewise.
    #[error("Redis cannot be used: {0}")]
    Redis(#[from] chat_redis::ConfigError),
    /// Likewise; try again.
    #[error("{0}")]
    Check(#[from] chat_redis::CheckError),
    /// Try again once the store is well.
    #[error("{0}")]
    Directory(#[from] DirectoryError),
    /// Likewise.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// Likewise.
    #[error("{0}")]
    Restore(#[from] RestoreError),
    /// Members come and go faster than they are read: try again when it is quieter.
    #[error("the members of room {0} do not hold still: try again")]
    Restless(RoomId),
    /// The lines cannot be written, or read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The target has rooms.
    #[error(
        "the store has rooms already, such as {0}: import into an empty one, or go on with an import \
         that was cut off, or leave rooms as they are that are there, with --skip-existing"
    )]
    NotEmpty(RoomId),
    /// Correct the line, or export again.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1 on.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Something of the above, after rooms were imported.
    #[error("{cause}. {rooms} rooms are imported: once that is mended, go on with --skip-existing")]
    CutOff {
        /// What happened.
        cause: Box<Self>,
        /// How many rooms are whole.
        rooms: u64,
    },
}

impl TransferError {
    /// The exit code of the program: 1 if it could not be done, 2 if it was told wrongly.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Memory | Self::File(_) | Self::Redis(_) => 2,
            _ => 1,
        }
    }

    fn line(line: u64, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Line { line, what }
    }
}

/// How much went from here to there.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) rooms: u64,
    pub(crate) members: u64,
    pub(crate) markers: u64,
    pub(crate) messages: u64,
    pub(crate) users: u64,
}

/// Exports, and says what.
///
/// # Errors
/// [`TransferError`]
pub(crate) fn export(
    args: &ExportArgs,
    environment: &Environment,
) -> Result<String, TransferError> {
    let config = args.store.load(environment)?;
    let out = args.out.as_deref().map(Unfinished::create).transpose()?;
    let mut writer: Box<dyn Write> = match &out {
        Some(out) => Box::new(out.file.try_clone()?),
        None => Box::new(io::stdout().lock()),
    };
    let (counts, clipped) = Runtime::new()?.block_on(async {
        let store = store::existing(&config).await?;
        let lines = BufWriter::with_capacity(BUFFER_BYTES, &mut writer);
        let mut exporter = Exporter::new(&store, lines);
        let counts = exporter
            .run(Progress::start("exported", Scale::Share))
            .await;
        let clipped = store.window.filter(|_| exporter.clipped > 0);
        let clipped = clipped.map(|window| (exporter.clipped, window));
        drop(exporter);
        store.close().await;
        Ok::<_, TransferError>((counts?, clipped))
    })?;
    if let Some(out) = out {
        out.finish()?;
    }
    let Counts {
        rooms,
        messages,
        users,
        ..
    } = counts;
    let mut told = format!("exported {rooms} rooms, {messages} messages, {users} users");
    if let Some((rooms, window)) = clipped {
        told += &format!("; of {rooms} rooms the newest {window} seqs (log_max)");
    }
    Ok(told)
}

/// Imports, and says what.
///
/// # Errors
/// [`TransferError`]
pub(crate) fn import(
    args: &ImportArgs,
    environment: &Environment,
) -> Result<String, TransferError> {
    let config = args.store.load(environment)?;
    let (reader, scale) = open(&args.file)?;
    let done = Runtime::new()?.block_on(async {
        let store = store::any(&config).await?;
        let progress = Progress::start("imported", scale);
        let done = import_from(&store, reader, args.skip_existing, progress).await;
        store.close().await;
        done
    })?;
    let Counts {
        rooms,
        messages,
        users,
        ..
    } = done.counts;
    let mut told = format!("imported {rooms} rooms, {messages} messages, {users} users");
    if done.skipped > 0 {
        told += &format!("; {} rooms were there already", done.skipped);
    }
    if done.not_kept > 0 {
        told += &format!(
            "; {} messages are older than what this store keeps",
            done.not_kept
        );
    }
    Ok(told)
}

async fn import_from(
    store: &Handles,
    reader: impl BufRead,
    skip_existing: bool,
    progress: Progress,
) -> Result<import::Done, TransferError> {
    let mut importer = Importer::new(store, reader, skip_existing);
    let outcome = importer.run(progress).await;
    outcome.map_err(|cause| match importer.rooms() {
        0 => cause,
        rooms => TransferError::CutOff {
            cause: Box::new(cause),
            rooms,
        },
    })
}

fn open(file: &Path) -> Result<(Box<dyn BufRead>, Scale), TransferError> {
    if file == Path::new("-") {
        let reader = BufReader::with_capacity(BUFFER_BYTES, io::stdin());
        return Ok((Box::new(reader), Scale::Unknown));
    }
    let of_file = |error| TransferError::File(format!("{}: {error}", file.display()));
    let opened = File::open(file).map_err(of_file)?;
    let bytes = opened.metadata().map_err(of_file)?.len();
    let reader = BufReader::with_capacity(BUFFER_BYTES, opened);
    Ok((Box::new(reader), Scale::Bytes(bytes)))
}

impl StoreArgs {
    /// As the server would be configured, so that the same environment names the same store.
    fn load(&self, environment: &Environment) -> Result<Config, TransferError> {
        let config = self.config(environment)?;
        // What the store warns of, such as that it is waited for.
        crate::logging::start(&config);
        Ok(config)
    }

    fn config(&self, environment: &Environment) -> Result<Config, TransferError> {
        // Another store is meant than the one that the environment and the file are set up for.
        let is_elsewhere = self.store.as_deref().is_some_and(|store| store != "redis");
        let set_aside: &[&str] = if is_elsewhere { &["redis"] } else { &[] };
        let args = ServeArgs {
            store: self.store.clone(),
            redis: self.redis.clone(),
            redis_prefix: self.redis_prefix.clone(),
            limit: self.limit.clone(),
            config: self.config.clone(),
            ..ServeArgs::default()
        };
        Ok(Config::load_but(set_aside, &args, &[], environment)?)
    }
}

/// A file that gets its name when all of it is there, so that no half of one is taken for a whole.
struct Unfinished {
    path: PathBuf,
    part: PathBuf,
    file: File,
    is_finished: bool,
}

impl Unfinished {
    fn create(path: &Path) -> Result<Self, TransferError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".");
        part.push(UNFINISHED);
        let part = PathBuf::from(part);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        // What people said is for its owner alone.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(&part)
            .map_err(|error| of_part(&part, &error))?;
        let unfinished = Self {
            path: path.to_owned(),
            part,
            file,
            is_finished: false,
        };
        // Not before: another export that had the part until now may just have finished.
        if path.exists() {
            let there = format!("{} is there already: name another file", path.display());
            return Err(TransferError::File(there));
        }
        Ok(unfinished)
    }

    fn finish(mut self) -> Result<(), TransferError> {
        self.file.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_finished {
            // If it stays, the next export says so.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn of_part(part: &Path, error: &io::Error) -> TransferError {
    let part = part.display();
    TransferError::File(match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{part} is there already: another export is writing it, or one was killed. Name another \
             file, or remove that one if none is running"
        ),
        _ => format!("{part}: {error}"),
    })
}
