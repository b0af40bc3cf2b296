//! Injected faults, after the server: they show that the ledger detects what it should.

use super::wire::Wire;

/// Number of messages before the first fault.
const AFTER: u64 = 500;

/// The fault of one received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// It is dropped
    Drop,
    /// It is duplicated
    Duplicate,
    /// One of its characters is changed
    Damage,
}

/// Passes all messages but one unchanged.
pub(super) struct Sabotage {
    fault: Option<Fault>,
    passed: u64,
}

impl Sabotage {
    pub(super) fn new(fault: Option<Fault>) -> Self {
        Self { fault, passed: 0 }
    }

    /// Applies the fault to a message.
    pub(super) fn apply(&mut self, mut wire: Wire) -> Vec<Wire> {
        self.passed += 1;
        let Some(fault) = self.fault.filter(|_| self.passed > AFTER) else {
            return vec![wire];
        };
        self.fault = None;
        eprintln!("sabotage: {fault:?} of {:?}", wire.text);
        match fault {
            Fault::Drop => vec![],
            Fault::Duplicate => vec![wire.clone(), wire],
            Fault::Damage => {
                wire.text.pop();
                wire.text.push('!');
                vec![wire]
            }
        }
    }
}
