//! What an attempt makes while it goes on.

use super::{Mutant, guarded, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant("output", "if refusal then", "if false then", "an_output_of_a_stale_token_changes_nothing"),
    mutant(
        "lib/attempts",
        "not is_of(task, instance, attempt)",
        "not task",
        "an_output_of_an_old_attempt_changes_nothing",
    ),
    mutant(
        "lib/attempts",
        "if TERMINAL[task.state] then",
        "if false then",
        "an_output_after_the_end_is_refused_and_what_was_told_stays",
    ),
    mutant("lib/attempts", "if not is_active(task) then", "if false then", "an_output_of_a_delayed_task_is_refused"),
    guarded("output", "if known > before then", "if false then", "outputs_are_told_once_each_in_order"),
    mutant(
        "output",
        "if known > before then",
        "if known == before + count then",
        "a_late_copy_of_an_earlier_call_adds_nothing",
    ),
    mutant("output", "if known < before then", "if false then", "outputs_that_redis_forgot_are_asked_for"),
    mutant("output", "told[1] and tonumber(told[2] or '0') or 0", "before", "outputs_that_redis_forgot_are_asked_for"),
    mutant("output", "begin(task, now)\n", "", "an_output_begins_an_attempt"),
    mutant("output", "known == 0 and outputs or ", "true and outputs or ", "outputs_are_told_once_each_in_order"),
    mutant("output", ".. ',' .. string.sub(outputs, 2)", ".. ']'", "outputs_are_told_once_each_in_order"),
    mutant("output", "'outputs_told', known + count", "'outputs_told', count", "outputs_are_told_once_each_in_order"),
    mutant("output", "redis.call('HINCRBY', task_key(id), 'version', 1)", "1", "outputs_are_told_once_each_in_order"),
    mutant("nack", "drop_made(id, now)\n", "", "a_retry_gives_up_what_was_made"),
    mutant(
        "nack",
        "'progress', 'outputs', 'outputs_told')",
        "'progress', 'outputs_told')",
        "a_retry_gives_up_what_was_made",
    ),
    guarded("nack", "'outputs', 'outputs_told')", "'outputs')", "a_retry_gives_up_what_was_made"),
    mutant("requeue", "drop_made(id, now)\n", "", "a_task_given_back_gives_up_what_was_made"),
    mutant(
        "requeue",
        "'progress', 'outputs', 'outputs_told')",
        "'progress', 'outputs_told')",
        "a_task_given_back_gives_up_what_was_made",
    ),
    guarded("requeue", "'outputs', 'outputs_told')", "'outputs')", "a_task_given_back_gives_up_what_was_made"),
    mutant("revive", "'outputs', 'outputs_told',", "'outputs',", "a_revived_task_begins_without_outputs"),
    mutant("revive", "'outputs', 'outputs_told',", "'outputs_told',", "a_revived_task_begins_without_outputs"),
    mutant("revive", "drop_made(id, now)\n", "", "a_revived_task_begins_without_outputs"),
    mutant("lib/files", "    drop_file(file, now)\n", "", "a_retry_gives_up_what_was_made"),
];
