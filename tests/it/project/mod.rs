//! The project itself: imports between modules, module docs, and generated files.

mod citations;
mod console_blocks;
mod generated;
mod imports;
