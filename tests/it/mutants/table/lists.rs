//! Mutants of the rows of lists.

use super::{Mutant, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant(
        "lib/list_rows",
        "outputs_bytes > ROW_OUTPUTS_MAX",
        "outputs_bytes < 0",
        "long_outputs_are_read_cut_in_lists",
    ),
    mutant("lib/list_rows", "created or ''", "''", "a_corrupt_task_at_the_end_of_a_page_hides_no_other"),
    mutant("lib/list_rows", "= name, values[i]", "= name, values[1]", "long_outputs_are_read_cut_in_lists"),
    mutant("lib/list_rows", "is_long and tostring(outputs_bytes) or '0'", "'0'", "long_outputs_are_read_cut_in_lists"),
    mutant("lib/list_rows", "bytes = bytes + #value", "bytes = #value", "a_page_of_long_facts_ends_early"),
    mutant("task_list", "    last = i\n", "", "a_page_of_long_facts_ends_early"),
    mutant("task_list", "if bytes > ROWS_BYTES_MAX then", "if false then", "a_page_of_long_facts_ends_early"),
    mutant("batch_list", "    last = i\n", "", "a_batch_page_of_long_facts_ends_early"),
    mutant("task_entries", "if bytes > ROWS_BYTES_MAX then", "if false then", "snapshots_end_early"),
    mutant("workflow_list", "if bytes > HEADS_BYTES_MAX then", "if false then", "a_page_of_long_workflows_ends_early"),
];
