//! JSON with one line for each member of the outermost object, and of the arrays and objects in it: small, and a change
//! of one method or case is a change of one line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// What lies deeper stays on its line.
const DEPTH: usize = 2;

/// Writes a value, ending in a line break.
pub(super) fn write(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(&mut *out, FewLines { depth: 0, is_empty: true });
    value.serialize(&mut serializer)?;
    writeln!(out)
}

struct FewLines {
    /// Arrays and objects that are open.
    depth: usize,
    /// Whether nothing has been written into the innermost one.
    is_empty: bool,
}

impl FewLines {
    fn begin<W: ?Sized + Write>(&mut self, bracket: &[u8], out: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        out.write_all(bracket)
    }

    fn end<W: ?Sized + Write>(&mut self, bracket: &[u8], out: &mut W) -> io::Result<()> {
        if self.depth <= DEPTH && !self.is_empty {
            self.line_break(self.depth - 1, out)?;
        }
        self.depth -= 1;
        self.is_empty = false;
        out.write_all(bracket)
    }

    fn member<W: ?Sized + Write>(&self, first: bool, out: &mut W) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        match self.depth {
            depth if depth <= DEPTH => self.line_break(depth, out),
            _ if first => Ok(()),
            _ => out.write_all(b" "),
        }
    }

    fn line_break<W: ?Sized + Write>(&self, indent: usize, out: &mut W) -> io::Result<()> {
        write!(out, "\n{:width$}", "", width = 2 * indent)
    }
}

impl Formatter for FewLines {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(b"[", out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(b"]", out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.member(first, out)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(b"{", out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(b"}", out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.member(first, out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.is_empty = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_line_for_each_thing_of_the_second_level() {
        let value = serde_json::json!({"a": [{"x": [1, 2], "y": {}}, []], "b": {"c": null, "d": {"e": "f"}}, "g": []});
        let mut out = Vec::new();
        super::write(&value, &mut out).unwrap();
        let expected = "\
{
  \"a\": [
    {\"x\": [1, 2], \"y\": {}},
    []
  ],
  \"b\": {
    \"c\": null,
    \"d\": {\"e\": \"f\"}
  },
  \"g\": []
}
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
