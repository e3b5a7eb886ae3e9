//! Instances that join tasks later, and how long runs take.

use super::{Mutant, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant("admit", "if is_fenced(instance, token) then", "if false then", "a_stale_owner_joins_nothing"),
    mutant("admit", "not TERMINAL[task.state] and ", "", "an_instance_that_has_it_later_joins"),
    mutant(
        "admit",
        "task.only and not string.find(task.only, ',' .. instance .. ',', 1, true)",
        "task.only",
        "an_instance_that_has_it_later_joins",
    ),
    mutant(
        "admit",
        "task.only and not string.find(task.only, ',' .. instance .. ',', 1, true)",
        "not string.find(task.only or '', instance, 1, true)",
        "an_instance_that_has_it_later_joins",
    ),
    mutant("admit", "task.only .. instance .. ','", "',' .. instance .. ','", "an_instance_that_has_it_later_joins"),
    mutant("narrowed", "',' .. instance .. ','", "instance", "an_instance_that_has_it_later_joins"),
    mutant(
        "narrowed",
        "root .. 'narrowed', since,",
        "root .. 'narrowed', '-inf',",
        "what_is_left_to_others_is_read_in_bites",
    ),
    mutant("narrowed", "'LIMIT', 0, limit", "'LIMIT', 0, -1", "what_is_left_to_others_is_read_in_bites"),
    mutant(
        "lib/accept",
        "    redis.call('ZADD', root .. 'narrowed', now, id)\n",
        "",
        "an_instance_that_has_it_later_joins",
    ),
    mutant("revive", "  redis.call('ZADD', root .. 'narrowed', now, id)\n", "", "a_revived_task_is_looked_at_again"),
    mutant(
        "lib/endings",
        "    redis.call('ZREM', root .. 'narrowed', task.id)\n",
        "",
        "an_instance_that_has_it_later_joins",
    ),
    mutant("lib/repair", "    expect(root .. 'narrowed', now, task.id)\n", "", "every_lost_key_is_healed"),
    mutant(
        "finish",
        "if state == 'completed' then\n  remember_run",
        "if true then\n  remember_run",
        "runs_are_remembered_once",
    ),
    mutant("finish", "task.started or task.claimed or now", "task.claimed or now", "runs_are_remembered_once"),
    mutant("lib/speeds", "  add_run('all', took)\n", "", "runs_are_remembered_once"),
    mutant("lib/speeds", "1 / NEWEST_SHARE)", "1000)", "runs_are_remembered_once"),
    mutant(
        "lib/speeds",
        "  while redis.call('ZCARD', root .. 'speeds-used') > SPEEDS_MAX do\n",
        "  while false do\n",
        "only_so_many_workflows_are_remembered",
    ),
    mutant(
        "lib/accept",
        "    redis.call('HSET', task_key(id), 'workflow_hash', task.workflow_hash)\n",
        "",
        "runs_are_remembered_once",
    ),
    mutant(
        "prospects",
        "redis.call('ZCARD', wait_key(lane))\nelse",
        "0\nelse",
        "a_task_to_come_stands_behind_its_lane",
    ),
    mutant(
        "prospects",
        "mean(speeds[1]), mean(speeds[2])",
        "mean(speeds[2]), mean(speeds[2])",
        "runs_are_remembered_once",
    ),
    mutant(
        "requeue",
        "  redis.call('HSET', task_key(id), 'only', only)\n",
        "",
        "a_task_is_left_to_others_by_who_cannot_run_it",
    ),
    mutant("requeue", "if only ~= '' then", "if true then", "a_task_is_left_to_others_by_who_cannot_run_it"),
    mutant(
        "requeue",
        "  redis.call('ZADD', root .. 'narrowed', now, id)\n",
        "",
        "a_task_is_left_to_others_by_who_cannot_run_it",
    ),
];
