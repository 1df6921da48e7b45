//! Load, latency and chaos tool of the chat server.
//!
//! Connects as many clients as it is told, lets them talk, and holds everything that each of them
//! received against everything that was accepted. Refuses to load other machines unless told to.
//!
//! # Layout
//! - [`args`] is the command line, which shapes a [`plan`]: who sits where
//! - [`scenario`] gives orders to a [`fleet`] of threads; on each, one task per connection
//! - a connection is a [`client`] (the socket's life) around a [`member`] (what is said and heard)
//!   with a [`publisher`] (what is to be sent when)
//! - [`wire`] moves frames and finds fields in their bytes; [`marker`] is what a message carries
//! - [`tally`] is what was seen, [`report`] what came out; [`counters`] are for whoever waits
//! - [`process`], [`timer`], [`clock`], [`limits`]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod plan;

mod fleet;
mod scenario;

mod client;
mod member;
mod publisher;

mod marker;
mod wire;

mod counters;
mod report;
mod tally;

mod clock;
mod limits;
mod process;
mod timer;

/// The run could not be made: nothing is known of the servers.
const NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    process::raise_open_files();
    let report = match scenario::run(&cli) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("chat-bench: {error:#}");
            return ExitCode::from(NOT_RUN);
        }
    };
    if cli.common.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
