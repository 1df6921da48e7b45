//! Commands that wait for their answer.
//!
//! Invariant: once it has ended, nobody waits: later commands are turned away with the reason.

use std::collections::HashMap;

use chat_proto::received::Body;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::{CommandError, Disconnected};

/// What a command is answered.
pub(crate) type Answer = Result<Body, CommandError>;

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// Its place among `COMMANDS_MAX`: kept until the answer, also when nobody waits for it any
    /// more, because the server still has the command.
    _place: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    ended: Option<Disconnected>,
}

#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<State>);

impl Pending {
    pub(crate) fn wait(
        &self,
        id: u64,
        answer: oneshot::Sender<Answer>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Disconnected> {
        let mut state = self.0.lock();
        if let Some(why) = &state.ended {
            return Err(why.clone());
        }
        let waiting = Waiting {
            answer,
            _place: place,
        };
        state.waiting.insert(id, waiting);
        Ok(())
    }

    /// Answers a command. Answers whether it was known.
    pub(crate) fn answer(&self, id: u64, answer: Answer) -> bool {
        let Some(waiting) = self.0.lock().waiting.remove(&id) else {
            return false;
        };
        // Whoever asked may have given up.
        let _ = waiting.answer.send(answer);
        true
    }

    /// The connection ended. The first reason counts.
    pub(crate) fn end(&self, why: Disconnected) {
        let mut state = self.0.lock();
        let why = state.ended.get_or_insert(why).clone();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for (_, waiting) in waiting {
            let _ = waiting
                .answer
                .send(Err(CommandError::Disconnected(why.clone())));
        }
    }

    pub(crate) fn ended(&self) -> Option<Disconnected> {
        self.0.lock().ended.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chat_proto::{ErrorCode, ErrorObject};
    use tokio::sync::Semaphore;

    use super::*;

    fn place(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        Arc::clone(places).try_acquire_owned().unwrap()
    }

    fn refusal() -> Answer {
        Err(ErrorObject::new(ErrorCode::NotFound, "gone").into())
    }

    #[test]
    fn an_answer_reaches_the_command_of_its_id_only() {
        let (pending, places) = (Pending::default(), Arc::new(Semaphore::new(2)));
        let (one, mut first) = oneshot::channel();
        let (two, mut second) = oneshot::channel();
        pending.wait(1, one, place(&places)).unwrap();
        pending.wait(2, two, place(&places)).unwrap();
        assert!(pending.answer(2, refusal()));
        assert!(first.try_recv().is_err());
        assert!(matches!(
            second.try_recv(),
            Ok(Err(CommandError::Refused(_)))
        ));
        assert!(!pending.answer(2, refusal()));
        assert_eq!(places.available_permits(), 1);
    }

    #[test]
    fn the_end_fails_all_that_wait_and_all_that_come_later_with_the_first_reason() {
        let (pending, places) = (Pending::default(), Arc::new(Semaphore::new(2)));
        let (one, mut first) = oneshot::channel();
        pending.wait(1, one, place(&places)).unwrap();
        pending.end(Disconnected::Local);
        pending.end(Disconnected::Closed {
            code: 4000,
            text: String::new(),
        });
        let failed = first.try_recv().unwrap().unwrap_err();
        assert!(matches!(
            failed,
            CommandError::Disconnected(Disconnected::Local)
        ));
        let (two, _second) = oneshot::channel();
        let refused = pending.wait(2, two, place(&places)).unwrap_err();
        assert!(matches!(refused, Disconnected::Local));
        assert_eq!(places.available_permits(), 2);
    }
}
