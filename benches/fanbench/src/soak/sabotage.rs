//! Faults made on purpose, behind the server: they show that the ledger sees what it is there for.

use super::wire::Wire;

/// Messages that come before the first one.
const AFTER: u64 = 500;

/// What is done to one received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// It is taken away
    Drop,
    /// It comes twice
    Duplicate,
    /// A letter of it is another one
    Damage,
}

/// Lets everything pass but one message.
pub(super) struct Sabotage {
    fault: Option<Fault>,
    passed: u64,
}

impl Sabotage {
    pub(super) fn new(fault: Option<Fault>) -> Self {
        Self { fault, passed: 0 }
    }

    /// What becomes of a message.
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
