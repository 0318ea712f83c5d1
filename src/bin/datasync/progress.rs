//! A bar on standard error for long work, only on a terminal.

use std::cell::OnceCell;
use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or nothing when nobody would see it. It appears with the first word of progress.
pub struct Progress {
    what: &'static str,
    template: &'static str,
    seen: bool,
    bar: OnceCell<ProgressBar>,
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

    fn styled(what: &'static str, quiet: bool, template: &'static str) -> Self {
        Self { what, template, seen: !quiet && stderr().is_terminal(), bar: OnceCell::new() }
    }

    /// `done` of `all` is over.
    pub fn at(&self, done: u64, all: u64) {
        if !self.seen {
            return;
        }
        let bar = self.bar.get_or_init(|| self.draw(all));
        bar.set_length(all.max(done));
        bar.set_position(done);
    }

    fn draw(&self, all: u64) -> ProgressBar {
        let style = ProgressStyle::with_template(self.template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_message(self.what);
        bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
