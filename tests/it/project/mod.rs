//! The project itself: imports between modules, module docs, and generated files.

mod citations;
mod generated;
mod imports;
