//! The chat server: configuration, wiring, HTTP, health, metrics, page, shutdown.
//!
//! # Layout
//! - what it is told: `cli`, `config`
//! - a server's life: `serve`, with `listener`, `wiring`, `signals`, `logging`, `process`
//! - what it answers over plain HTTP: `http`; `/ws` is chat-ws's
//! - who may come in: `auth`; files that change meanwhile: `reload`
//! - `transfer`: the commands that move everything between stores
//! - `revoke`: the command that lets somebody in no more
//! - `health_check`: the command that asks another one how it is

mod auth;
mod cli;
mod config;
mod health_check;
mod http;
mod listener;
mod logging;
mod process;
mod reload;
mod revoke;
mod serve;
mod signals;
mod transfer;
mod wiring;

use std::env;
use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use cli::{Cli, ServeArgs, Task};
use config::{Config, Environment};
use health_check::HealthArgs;
use serve::Ended;

/// It cannot start, or is not healthy.
const FAILED: u8 = 1;
/// It was told wrongly; the same as for a flag that does not exist.
const MISUSED: u8 = 2;
/// By convention 128 + SIGINT: ended by a second Ctrl-C.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A variable that is not UTF-8 is none of ours.
    let environment = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match cli.command {
        Some(Task::Health(args)) => health(&args, &environment),
        Some(Task::Token(args)) => match auth::mint(&args, &environment) {
            Ok(token) => {
                println!("{token}");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(MISUSED, &error),
        },
        Some(Task::Revoke(args)) => match revoke::run(&args, &environment) {
            Ok(done) => {
                println!("{done}");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(error.code(), &error),
        },
        // What is exported goes to the standard output: what is told does not.
        Some(Task::Export(args)) => match transfer::export(&args, &environment) {
            Ok(done) => tell(&done),
            Err(error) => refuse(error.code(), &error),
        },
        Some(Task::Import(args)) => match transfer::import(&args, &environment) {
            Ok(done) => tell(&done),
            Err(error) => refuse(error.code(), &error),
        },
        None => serve(&cli.serve, &environment),
    }
}

fn health(args: &HealthArgs, environment: &Environment) -> ExitCode {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(FAILED, &error),
    };
    match runtime.block_on(health_check::ask(args, environment)) {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(FAILED, &error),
    }
}

fn serve(args: &ServeArgs, environment: &Environment) -> ExitCode {
    let typed: Vec<String> = env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let config = match Config::load(args, &typed, environment) {
        Ok(config) => config,
        Err(error) => return refuse(MISUSED, &error),
    };
    logging::start(&config);
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(FAILED, &error),
    };
    let ended = runtime.block_on(serve::run(config));
    // Whatever still runs was given its time.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::InPeace) => ExitCode::SUCCESS,
        Ok(Ended::AtOnce) => ExitCode::from(INTERRUPTED),
        Err(error) => refuse(FAILED, &error),
    }
}

fn tell(done: &dyn Display) -> ExitCode {
    eprintln!("chat-server: {done}");
    ExitCode::SUCCESS
}

fn refuse(code: u8, why: &dyn Display) -> ExitCode {
    eprintln!("chat-server: {why}");
    ExitCode::from(code)
}
