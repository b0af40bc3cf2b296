//! The project itself: imports between modules, module docs, and generated files.

mod generated;
mod imports;
