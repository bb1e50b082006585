//! Strings as JSON has them.

pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        write_escape(rest.as_bytes()[at], out);
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that cannot stand in a JSON string as itself: a quote, a backslash, a control character
/// (RFC 8259, section 7). Blocks are looked at without a branch in between, which the compiler makes vector
/// instructions of.
pub(crate) fn first_special(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for block in bytes.chunks(32) {
        if block.iter().fold(false, |found, byte| found | is_special(*byte)) {
            return block.iter().position(|byte| is_special(*byte)).map(|position| at + position);
        }
        at += block.len();
    }
    None
}

fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

fn write_escape(byte: u8, out: &mut String) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        _ => {
            out.push_str("\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_json_demands_is_escaped() {
        let mut out = String::new();
        write_string("a\"b\\c/\u{0}\n\u{1f}\u{7f}é😀\u{2028}", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c/\\u0000\\n\\u001f\u{7f}é😀\u{2028}\"");
    }

    proptest! {
        #[test]
        fn any_string_reads_back_elsewhere(text in any::<String>()) {
            let mut out = String::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn the_first_special_byte_is_found_at_any_distance(
            before in "[a-zé]{0,200}",
            special in "[\"\\\\\x00-\x1f]",
            after in any::<String>(),
        ) {
            let text = format!("{before}{special}{after}");
            prop_assert_eq!(first_special(text.as_bytes()), Some(before.len()));
            prop_assert_eq!(first_special(before.as_bytes()), None);
        }
    }
}
