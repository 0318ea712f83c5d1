//! A bar on standard error for long work, only on a terminal.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or nothing when nobody would see it.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar for work called `what`, counted in bytes. Shown only on a terminal and unless `quiet`.
    pub fn bytes(what: &'static str, quiet: bool) -> Self {
        Self::styled(what, quiet, "{msg:>10} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    }

    /// A bar for work called `what`, counted in steps.
    pub fn steps(what: &'static str, quiet: bool) -> Self {
        Self::styled(what, quiet, "{msg:>10} [{bar:32}] {pos}/{len} {eta}")
    }

    fn styled(what: &'static str, quiet: bool, template: &str) -> Self {
        if quiet || !stderr().is_terminal() {
            return Self { bar: None };
        }
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_message(what);
        Self { bar: Some(bar) }
    }

    /// `done` of `all` is over.
    pub fn at(&self, done: u64, all: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(all.max(done));
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
