use std::fmt;

use crate::Warning;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is: `http.tls.certificate`, `health.http[0].uri`. Empty for the whole document.
    pub key: String,
    /// The environment variable that gave the value; `None` when the file did or nothing was given.
    pub variable: Option<String>,
    /// The line of the file that gave the value, counted from 1; `None` when a variable did or nothing was given.
    pub line: Option<usize>,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub expected: String,
}

impl Problem {
    pub(crate) fn new(
        key: impl Into<String>,
        wrong: impl Into<String>,
        expected: impl Into<String>,
    ) -> Problem {
        Problem {
            key: key.into(),
            variable: None,
            line: None,
            wrong: wrong.into(),
            expected: expected.into(),
        }
    }

    pub(crate) fn at_line(self, line: Option<usize>) -> Problem {
        Problem { line, ..self }
    }

    pub(crate) fn given_by(mut self, variable: Option<&str>) -> Problem {
        self.variable = variable.map(str::to_owned);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.key.is_empty() { "configuration" } else { &self.key })?;
        match (&self.variable, self.line) {
            (Some(variable), _) => write!(f, " (from {variable})")?,
            (None, Some(line)) => write!(f, " (line {line})")?,
            (None, None) => {}
        }
        write!(f, ": {}; expected {}", self.wrong, self.expected)
    }
}

/// Everything that is wrong with a configuration, at least one thing, and the warnings about it: what is wrong is often a
/// key that was misspelt. `Display` gives one line for each problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Problems {
    /// `problems` must not be empty.
    pub(crate) fn new(problems: Vec<Problem>) -> Problems {
        debug_assert!(!problems.is_empty(), "an error says at least one thing");
        Problems { problems, warnings: Vec::new() }
    }

    pub(crate) fn with_warnings(self, warnings: Vec<Warning>) -> Problems {
        Problems { warnings, ..self }
    }

    /// What an operator should know besides.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The problems, in the order of the configuration's sections.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
