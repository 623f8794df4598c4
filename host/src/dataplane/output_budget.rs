//! What one answer of a plugin may become in the host. A few bytes that cross can stand for very many: rows of nulls, the
//! size of a dictionary, an input row that is named again and again. A failed allocation would end the process, and all
//! jobs in it, so these are charged before there is memory for them.

/// The bytes that are left, of `output_bytes_max`.
#[derive(Debug)]
pub struct OutputBudget {
    left: usize,
    bytes_max: usize,
}

impl OutputBudget {
    pub fn new(output_bytes_max: usize) -> Self {
        Self { left: output_bytes_max, bytes_max: output_bytes_max }
    }

    /// Takes these from what is left; the error is for the plugin's author.
    pub fn charge(&mut self, bytes: usize) -> Result<(), String> {
        let Some(left) = self.left.checked_sub(bytes) else {
            let (spent, max) = (self.bytes_max - self.left, self.bytes_max);
            return Err(format!(
                "{bytes} bytes of nulls, of a dictionary's values or of inherited columns, behind {spent} of the same \
                 answer; output_bytes_max is {max}"
            ));
        };
        self.left = left;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_adds_up() {
        let mut budget = OutputBudget::new(10);
        budget.charge(4).unwrap();
        budget.charge(6).unwrap();
        budget.charge(0).unwrap();
        assert!(budget.charge(1).unwrap_err().contains("1 bytes of nulls"));
        assert!(
            budget.charge(usize::MAX).unwrap_err().ends_with("behind 10 of the same answer; output_bytes_max is 10")
        );
    }
}
