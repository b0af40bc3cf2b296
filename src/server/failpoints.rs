//! Faults on demand, for tests of how the server bears them: a debug build panics at the named
//! point when the environment says so, as in `PUSHCTL_FAULT=delivery:3` (the third delivery) or
//! `delivery:3+` (that and all that follow). A release has none of this.

#[cfg(debug_assertions)]
mod points {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// The fault of this process: its point, the pass at which it comes, and whether it comes at
    /// all that follow, too.
    static FAULT: OnceLock<Option<(String, u64, bool)>> = OnceLock::new();
    static STALL: OnceLock<Option<(String, PathBuf)>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);

    /// A point where the process may be told to panic, or to stand still as long as there is a
    /// file: `PUSHCTL_STALL=POINT:PATH`. `PATH.reached` tells that it does.
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
            // It cannot tell anybody but the test, which would wait in vain.
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
    /// Nothing.
    pub(in crate::server) fn point(_: &str) {}
}

pub(in crate::server) use points::point;
