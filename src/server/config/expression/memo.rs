//! Cache for variables that nginx evaluates once per request: their value does not change after a
//! rewrite.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::map::MapVariable;
use super::secure_link::CheckedLink;

/// The values that were evaluated so far; clones share them. Allocates nothing until the first
/// value.
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

    /// Returns the value of a map; calls `evaluate` the first time.
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
        // `evaluate` may evaluate other maps, so nothing is borrowed here.
        let value = evaluate();
        self.values()
            .maps
            .borrow_mut()
            .push((variable.clone(), value.clone()));
        value
    }

    /// Returns the result of the check of the link; calls `check` the first time.
    pub fn link(&self, check: impl FnOnce() -> CheckedLink) -> CheckedLink {
        if let Some(checked) = &*self.values().link.borrow() {
            return checked.clone();
        }
        let checked = check();
        *self.values().link.borrow_mut() = Some(checked.clone());
        checked
    }
}
