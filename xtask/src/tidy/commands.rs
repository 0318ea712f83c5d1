//! That a document names commands of `cargo xtask` that there are, with options that their usage has.

use crate::COMMANDS;

/// How a command is called.
const CALL: &str = "cargo xtask ";

/// Commands and options named in backquotes, or behind a prompt, that are not there; each with its line.
pub fn check(text: &str) -> Vec<(usize, String)> {
    let calls = text.match_indices(CALL).filter_map(|(at, _)| Some((at, call(text, at)?)));
    calls
        .flat_map(|(at, call)| wrong(call).into_iter().map(move |message| (line_of(text, at), message)))
        .collect()
}

/// What is quoted from `at` on; a quotation may go on in the next line.
fn call(text: &str, at: usize) -> Option<&str> {
    let rest = &text[at + CALL.len()..];
    let line = text[..at].rsplit('\n').next().unwrap_or_default();
    if line.trim() == "$" {
        return rest.split(['\n', '#']).next();
    }
    let paragraph = text[..at].rsplit("\n\n").next().unwrap_or_default();
    let quoted = paragraph.replace("```", "").matches('`').count() % 2 == 1;
    if quoted { rest.split('`').next() } else { None }
}

fn wrong(call: &str) -> Vec<String> {
    let mut words = call.split_whitespace();
    let Some(name) = words.next() else { return Vec::new() };
    let Some(command) = COMMANDS.iter().flat_map(|(_, commands)| *commands).find(|known| known.name == name)
    else {
        return vec![format!("`{CALL}{name}`: there is no such command (xtask/src/main.rs)")];
    };
    let known = |option: &str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        command.usage.split(|letter| !is_part(letter)).any(|word| word == option)
    };
    let options = words.filter(|word| word.starts_with("--") && !known(word));
    options.map(|option| format!("`{CALL}{name}` has no {option} in its usage (xtask/src/main.rs)")).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expected: &[(usize, &str)]) {
        let found = check(text);
        let same = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|((line, message), (at, part))| line == at && message.contains(part));
        assert!(same, "{text}: {found:?}");
    }

    #[test]
    fn an_option_that_a_command_does_not_have_is_caught() {
        check_text("Run `cargo xtask crash --planted`.", &[(1, "crash` has no --planted")]);
        check_text("One.\n\n`cargo xtask bench\n--browser --loud` shows it.", &[(3, "bench` has no --loud")]);
        check_text("```console\n$ cargo xtask test --lost  # --list\n```", &[(2, "test` has no --lost")]);
        check_text("`nice cargo xtask model`", &[(1, "no such command")]);
        // Part of an option that there is.
        check_text("`cargo xtask crash --seed-s --see`", &[(1, "no --seed-s"), (1, "no --see")]);
    }

    #[test]
    fn what_a_command_has_is_fine() {
        check_text(
            "`cargo xtask` and `cargo xtask crash --depth 4 --double`, `cargo xtask kill\n--native`.",
            &[],
        );
        check_text("$ cargo xtask test --list   # its steps\n", &[]);
        check_text("```console\n$ npm install  # or cargo xtask npm, then --this\n```", &[]);
        check_text("`cargo xtask demo`, as said of `x`: cargo xtask is --none of these.", &[]);
    }
}
