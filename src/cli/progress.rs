use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use crate::Progress;

/// A line on standard error; nothing where that is no terminal.
pub struct Bar {
    bar: Mutex<ProgressBar>,
}

impl Bar {
    pub fn new() -> Bar {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {msg}"));
        Bar { bar: Mutex::new(bar) }
    }

    fn with(&self, change: impl FnOnce(&ProgressBar)) {
        if let Ok(bar) = self.bar.lock() {
            change(&bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bar {
    fn stage(&self, name: &'static str) {
        self.with(|bar| {
            bar.set_style(style("{spinner} {msg}"));
            bar.set_message(name);
            bar.tick();
        });
    }

    fn total(&self, steps: usize) {
        self.with(|bar| {
            bar.set_style(style("{spinner} {msg} {bar:30} {pos}/{len} {eta}"));
            bar.set_length(steps as u64);
            bar.set_position(0);
        });
    }

    fn advance(&self) {
        self.with(|bar| bar.inc(1));
    }

    fn finish(&self) {
        self.with(ProgressBar::finish_and_clear);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.finish();
    }
}
