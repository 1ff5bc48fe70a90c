//! Bytes made readable, and the place where two byte strings part.

/// How many bytes around the first difference are shown.
const BEFORE: usize = 40;
const AFTER: usize = 40;

/// The bytes as one line of ASCII: `\r`, `\n`, `\t`, `\\` and `\"` by name, others as `\xNN`.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'")
}

/// As [`escape`], in quotes, with the middle left out when there are more than `limit` bytes.
#[must_use]
pub fn quote(bytes: &[u8], limit: usize) -> String {
    if bytes.len() <= limit {
        return format!("\"{}\"", escape(bytes));
    }
    let half = limit / 2;
    format!(
        "\"{}\" … {} bytes … \"{}\"",
        escape(&bytes[..half]),
        bytes.len() - 2 * half,
        escape(&bytes[bytes.len() - half..])
    )
}

/// Index of the first byte that differs; the shorter length if one begins the other; `None` if
/// both are equal.
#[must_use]
pub fn first_difference(expected: &[u8], actual: &[u8]) -> Option<usize> {
    let common = expected.iter().zip(actual).take_while(|(a, b)| a == b).count();
    (common < expected.len().max(actual.len())).then_some(common)
}

/// Both byte strings in the window around their first difference: the expected one, and the
/// actual one with a mark under the first byte that differs.
#[must_use]
pub fn difference(expected: &[u8], actual: &[u8]) -> (String, String) {
    let at = first_difference(expected, actual).unwrap_or(expected.len());
    let start = if at > BEFORE + 8 { at - BEFORE } else { 0 };
    let lead = if start > 0 { format!("… {start} equal bytes … ") } else { String::new() };
    let window = |bytes: &[u8]| {
        let end = bytes.len().min(at + AFTER);
        let rest = bytes.len() - end;
        let tail = if rest > 0 { format!(" … {rest} more bytes") } else { String::new() };
        format!("{lead}\"{}\"{tail}", escape(&bytes[start.min(end)..end]))
    };
    let column = lead.chars().count() + 1 + escape(&actual[start.min(actual.len())..at]).len();
    let what = match (expected.get(at), actual.get(at)) {
        (Some(_), Some(_)) => format!("byte {at} differs"),
        (Some(_), None) => {
            format!("ends after {at} of {} bytes", expected.len())
        }
        (None, _) => format!("unexpected from byte {at} on"),
    };
    let actual = format!("{}\n{}^ {what}", window(actual), " ".repeat(column));
    (window(expected), actual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_first_byte_that_differs() {
        let (expected, actual) = difference(b"MN\r\n", b"MX\r\n");
        assert_eq!(expected, r#""MN\r\n""#);
        assert_eq!(actual, "\"MX\\r\\n\"\n  ^ byte 1 differs");
    }

    #[test]
    fn escapes_before_the_difference_move_the_mark() {
        let (_, actual) = difference(b"\r\n\0a", b"\r\n\0b");
        let (text, mark) = actual.split_once('\n').unwrap();
        assert_eq!(text, r#""\r\n\x00b""#);
        assert_eq!(mark.find('^'), text.find('b'));
    }

    #[test]
    fn a_missing_end_and_an_extra_end_are_named() {
        assert!(difference(b"abc", b"ab").1.ends_with("\"ab\"\n   ^ ends after 2 of 3 bytes"));
        assert!(difference(b"ab", b"abc").1.ends_with("\"abc\"\n   ^ unexpected from byte 2 on"));
        assert!(difference(b"abc", b"").1.ends_with("\"\"\n ^ ends after 0 of 3 bytes"));
    }

    #[test]
    fn long_strings_show_only_the_surroundings_of_the_difference() {
        let expected = vec![b'a'; 1000];
        let mut actual = expected.clone();
        actual[500] = b'b';
        let (_, shown) = difference(&expected, &actual);
        let (text, mark) = shown.split_once('\n').unwrap();
        assert!(text.starts_with("… 460 equal bytes … \"aaaa"), "{text}");
        assert!(text.ends_with("\" … 460 more bytes"), "{text}");
        let column = mark.chars().position(|c| c == '^').unwrap();
        assert_eq!(text.chars().nth(column), Some('b'));
    }

    #[test]
    fn equal_strings_have_no_first_difference() {
        assert_eq!(first_difference(b"ab", b"ab"), None);
        assert_eq!(first_difference(b"ab", b"a"), Some(1));
    }

    #[test]
    fn a_long_quote_keeps_both_ends() {
        assert_eq!(quote(b"abcdefgh", 4), "\"ab\" … 4 bytes … \"gh\"");
        assert_eq!(quote(b"it's", 10), "\"it's\"");
    }
}
