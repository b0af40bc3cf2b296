//! Panics and stalls on demand, for tests of fault tolerance. A debug build panics at a named point
//! if the environment selects it: `PUSHCTL_FAULT=delivery:3` (at the third delivery) or
//! `delivery:3+` (at the third and all later ones). Release builds contain no failpoints.

#[cfg(debug_assertions)]
mod points {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// The panic of this process: its point, the pass at which it occurs, and whether it recurs at
    /// all later passes.
    static FAULT: OnceLock<Option<(String, u64, bool)>> = OnceLock::new();
    static STALL: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);

    /// A point where the environment can make the process panic, or stall while a file exists:
    /// `PUSHCTL_STALL=POINT:PATH`. The stall creates `PATH.reached`.
    #[track_caller]
    pub(in crate::server) fn point(name: &str) {
        let stall = STALL.get_or_init(|| {
            let variable = std::env::var("PUSHCTL_STALL").ok()?;
            variable
                .split_once(':')
                .map(|(point, path)| (point.to_owned(), path.into()))
        });
        if let Some((point, path)) = stall
            && point == name
        {
            // Without this file the test times out, so the error needs no report.
            drop(std::fs::write(path.with_extension("reached"), ""));
            while path.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let fault = FAULT.get_or_init(|| {
            let variable = std::env::var("PUSHCTL_FAULT").ok()?;
            let (point, pass) = variable.split_once(':')?;
            let first = pass.strip_suffix('+');
            Some((
                point.to_owned(),
                first.unwrap_or(pass).parse().ok()?,
                first.is_some(),
            ))
        });
        if let Some((point, first, repeats)) = fault
            && point == name
        {
            let pass = PASSES.fetch_add(1, Ordering::Relaxed) + 1;
            if pass == *first || (*repeats && pass > *first) {
                panic!("fault at \"{name}\"");
            }
        }
    }
}

#[cfg(not(debug_assertions))]
mod points {
    /// Does nothing in a release build.
    pub(in crate::server) fn point(_: &str) {}
}

pub(in crate::server) use points::point;
