//! Faults on demand, for tests of how the server bears them: a debug build panics at the named point when the environment
//! says so, as in `PUSHCTL_FAULT=delivery:3` (the third delivery). A release has none of this.

#[cfg(debug_assertions)]
mod points {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The fault of this process: its point, and the pass at which it comes.
    static FAULT: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSES: AtomicU64 = AtomicU64::new(0);

    /// A point where the process may be told to panic.
    #[track_caller]
    pub(in crate::server) fn point(name: &str) {
        let fault = FAULT.get_or_init(|| {
            let (point, pass) =
                std::env::var("PUSHCTL_FAULT").ok()?.split_once(':').map(|(point, pass)| (point.to_owned(), pass.parse().ok()))?;
            Some((point, pass?))
        });
        if let Some((point, pass)) = fault
            && point == name
            && PASSES.fetch_add(1, Ordering::Relaxed) + 1 == *pass
        {
            panic!("fault at \"{name}\"");
        }
    }
}

#[cfg(not(debug_assertions))]
mod points {
    /// Nothing.
    pub(in crate::server) fn point(_: &str) {}
}

pub(in crate::server) use points::point;
