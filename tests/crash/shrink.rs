//! A failing life made short: its decisions are written down, left out piece by piece and made smaller, as long
//! as it still fails.

use crate::choices::Choices;
use crate::cuts::Cuts;

/// Answers given before, again; the list of a life that failed, on its way to become short.
pub struct Listed {
    answers: Vec<usize>,
    next: usize,
}

impl Listed {
    pub fn new(answers: Vec<usize>) -> Self {
        Self { answers, next: 0 }
    }
}

impl Cuts for Listed {}

impl<C: Choices> Cuts for Recorded<C> {}

impl Choices for Listed {
    fn below(&mut self, bound: usize) -> usize {
        let answer = self.answers.get(self.next).copied().unwrap_or(0);
        self.next += 1;
        answer % bound.max(1)
    }

    fn is_over(&self) -> bool {
        self.next >= self.answers.len()
    }
}

/// Writes down what another source answers.
pub struct Recorded<C> {
    from: C,
    pub answers: Vec<usize>,
}

impl<C: Choices> Recorded<C> {
    pub fn new(from: C) -> Self {
        Self { from, answers: Vec::new() }
    }
}

impl<C: Choices> Choices for Recorded<C> {
    fn below(&mut self, bound: usize) -> usize {
        let answer = self.from.below(bound);
        self.answers.push(answer);
        answer
    }

    fn is_over(&self) -> bool {
        self.from.is_over()
    }
}

/// The shortest list found that still makes `fails` true, within `tries` runs: pieces are left out, then
/// numbers made smaller.
pub fn shrunk(mut answers: Vec<usize>, tries: usize, fails: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let mut left = tries;
    let mut piece = (answers.len() / 2).max(1);
    while left > 0 {
        let mut at = 0;
        let before = answers.len();
        while at < answers.len() && left > 0 {
            let mut fewer = answers.clone();
            fewer.drain(at..(at + piece).min(answers.len()));
            left -= 1;
            if fails(&fewer) {
                answers = fewer;
            } else {
                at += piece;
            }
        }
        if piece == 1 && answers.len() == before {
            break;
        }
        piece = (piece / 2).max(1);
    }
    for at in 0..answers.len() {
        for smaller in [0, 1, answers[at] / 2] {
            if smaller < answers[at] && left > 0 {
                let mut tried = answers.clone();
                tried[at] = smaller;
                left -= 1;
                if fails(&tried) {
                    answers = tried;
                }
            }
        }
    }
    answers
}

#[test]
fn a_life_is_the_list_of_its_answers_and_shrinks_to_what_matters() {
    let mut recorded = Recorded::new(datasync::backend::sim::Random::new(7));
    let drawn: Vec<usize> = (2..40).map(|bound| recorded.below(bound)).collect();
    let mut again = Listed::new(recorded.answers.clone());
    assert_eq!((2..40).map(|bound| again.below(bound)).collect::<Vec<_>>(), drawn);
    let fails = |answers: &[usize]| answers.iter().filter(|answer| **answer > 10).count() >= 2;
    let least = shrunk(drawn, 4000, fails);
    assert!(fails(&least) && least.len() == 2, "{least:?}");
}
