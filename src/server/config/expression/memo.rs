//! Variables that nginx evaluates once in a request: what they were before a rewrite is what they are afterwards.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::map::MapVariable;
use super::super::secure_link::Checked;

/// Their values so far; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memo(Rc<Values>);

#[derive(Debug, Default)]
struct Values {
    maps: RefCell<Vec<(MapVariable, Vec<u8>)>>,
    link: RefCell<Option<Checked>>,
}

impl Memo {
    /// The value of a map.
    pub fn map(&self, variable: &MapVariable, evaluate: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        if let Some((_, value)) = self.0.maps.borrow().iter().find(|(known, _)| known == variable) {
            return value.clone();
        }
        // It may be made of other maps: nothing is borrowed here.
        let value = evaluate();
        self.0.maps.borrow_mut().push((variable.clone(), value.clone()));
        value
    }

    /// What came of the check of the link.
    pub fn link(&self, check: impl FnOnce() -> Checked) -> Checked {
        if let Some(checked) = &*self.0.link.borrow() {
            return checked.clone();
        }
        let checked = check();
        *self.0.link.borrow_mut() = Some(checked.clone());
        checked
    }
}
