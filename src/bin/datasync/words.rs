//! Numbers as people read them.

/// `1.5 MiB`, `312 bytes`.
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in UNITS {
        if count >> shift > 0 {
            let tenths = (u128::from(count) * 10) >> shift;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} bytes")
}

/// A count with its noun: `1 commit`, `2 commits`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// What happened, without the store's name in front and the advice behind: for lists of damage, where both
/// would stand on every line.
pub fn cause<'a>(message: &'a str, store: &str) -> &'a str {
    let at = message.find(store).filter(|_| !store.is_empty()).map_or(0, |at| at + store.len());
    let rest = message[at..].trim_start_matches([':', '/', ' ']);
    rest.split("; `datasync").next().unwrap_or(rest)
}

/// A wall clock time in UTC: `2024-02-29 23:59:59`. Days to a date by Howard Hinnant's `civil_from_days`.
pub fn when(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
        assert_eq!(count(1, "commit"), "1 commit");
        assert_eq!(count(0, "commit"), "0 commits");
    }

    #[test]
    fn a_cause_stands_alone() {
        let message = "/a/b.datasync: base.db: block 3 is not what was written; `datasync verify` lists all";
        assert_eq!(cause(message, "/a/b.datasync"), "base.db: block 3 is not what was written");
        assert_eq!(cause("no name here", "/a/b.datasync"), "no name here");
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(when(0), "1970-01-01 00:00:00");
        assert_eq!(when(1_709_251_199_000), "2024-02-29 23:59:59");
        assert_eq!(when(1_709_251_200_000), "2024-03-01 00:00:00");
        assert_eq!(when(4_107_542_400_000), "2100-03-01 00:00:00");
    }
}
