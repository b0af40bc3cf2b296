//! Variables that nginx evaluates once in a request: what they were before a rewrite is what they
//! are afterwards.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::super::map::MapVariable;
use super::super::secure_link::CheckedLink;

/// Their values so far; clones share them. Most requests have none, and allocate nothing.
#[derive(Debug, Default)]
pub struct Memo(OnceCell<Rc<MemoValues>>);

#[derive(Debug, Default)]
struct MemoValues {
    maps: RefCell<Vec<(MapVariable, Vec<u8>)>>,
    link: RefCell<Option<CheckedLink>>,
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self(OnceCell::from(Rc::clone(self.values())))
    }
}

impl Memo {
    fn values(&self) -> &Rc<MemoValues> {
        self.0.get_or_init(Rc::default)
    }

    /// The value of a map.
    pub fn map(&self, variable: &MapVariable, evaluate: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        if let Some((_, value)) = self
            .values()
            .maps
            .borrow()
            .iter()
            .find(|(known, _)| known == variable)
        {
            return value.clone();
        }
        // It may be made of other maps: nothing is borrowed here.
        let value = evaluate();
        self.values()
            .maps
            .borrow_mut()
            .push((variable.clone(), value.clone()));
        value
    }

    /// What came of the check of the link.
    pub fn link(&self, check: impl FnOnce() -> CheckedLink) -> CheckedLink {
        if let Some(checked) = &*self.values().link.borrow() {
            return checked.clone();
        }
        let checked = check();
        *self.values().link.borrow_mut() = Some(checked.clone());
        checked
    }
}
