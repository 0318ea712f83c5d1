//! Which models there are, and the bounds within which they are looked at.

use crate::check::{Extent, Report, explore};
use crate::{leader, log, queue};

/// A model and how to run it.
pub struct Subject {
    /// What it is.
    pub about: &'static str,
    /// As it should be, in the bounds of every test run or in larger ones.
    pub whole: fn(big: bool) -> Vec<Report>,
    /// With each of its mistakes.
    pub planted: fn() -> Vec<Report>,
}

/// All of them.
pub const MODELS: &[Subject] = &[
    Subject {
        about: "M1: commit, rotation, fold, recovery, read views; crashes of the process and of the power",
        whole: log_whole,
        planted: log_planted,
    },
    Subject {
        about: "M2: commits through a queue of transactions, two tabs",
        whole: queue_whole,
        planted: queue_planted,
    },
    Subject {
        about: "M3: leaders that freeze, are deposed and fenced; requests exactly once",
        whole: leader_whole,
        planted: leader_planted,
    },
];

const LOG: log::Log =
    log::Log { commits: 2, rotations: 1, folds: 1, pins: 1, crashes: 1, failures: true, mistake: None };
/// One recovery in another in a third: all that the proof of META takes.
pub const PROOFS: log::Log =
    log::Log { commits: 1, rotations: 0, folds: 0, pins: 0, crashes: 3, failures: true, mistake: None };
const QUEUE: queue::Queue = queue::Queue { commits: 2, owners: 2, folds: 1, cuts: 1, mistake: None };
const LEADERS: leader::Leaders = leader::Leaders { clients: 1, requests: 2, owners: 2, mistake: None };

fn log_whole(big: bool) -> Vec<Report> {
    let bounds = if big { log::Log { crashes: 2, ..LOG } } else { LOG };
    let double = log::Log { pins: 0, crashes: 2, ..LOG };
    [bounds, double].map(|bounds| explore(&format!("{bounds}"), bounds, Extent::Whole)).into()
}

fn log_planted() -> Vec<Report> {
    let with = |mistake| match mistake {
        log::Mistake::ForgetProofOrder => PROOFS,
        log::Mistake::FoldIgnoresPins => log::Log { crashes: 2, ..LOG },
        _ => log::Log { pins: 0, crashes: 2, ..LOG },
    };
    let planted = |m| log::Log { mistake: Some(m), ..with(m) };
    log::Mistake::ALL.map(|m| explore(&format!("{m:?}"), planted(m), Extent::UntilBroken)).into()
}

fn queue_whole(big: bool) -> Vec<Report> {
    let bounds = if big { queue::Queue { commits: 3, owners: 3, cuts: 2, ..QUEUE } } else { QUEUE };
    vec![explore(&format!("{bounds}"), bounds, Extent::Whole)]
}

fn queue_planted() -> Vec<Report> {
    let with = |mistake| queue::Queue { mistake: Some(mistake), ..QUEUE };
    queue::Mistake::ALL.map(|m| explore(&format!("{m:?}"), with(m), Extent::UntilBroken)).into()
}

fn leader_whole(big: bool) -> Vec<Report> {
    let bounds = if big { leader::Leaders { owners: 4, ..LEADERS } } else { LEADERS };
    let mut reports = vec![explore(&format!("{bounds}"), bounds, Extent::Whole)];
    if big {
        let clients = leader::Leaders { clients: 2, requests: 1, owners: 3, ..LEADERS };
        reports.push(explore(&format!("{clients}"), clients, Extent::Whole));
    }
    reports
}

fn leader_planted() -> Vec<Report> {
    let with = |mistake| leader::Leaders { mistake: Some(mistake), ..LEADERS };
    leader::Mistake::ALL.map(|m| explore(&format!("{m:?}"), with(m), Extent::UntilBroken)).into()
}
