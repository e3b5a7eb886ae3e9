//! Mutants of eligibility and run times.

use super::{Mutant, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant("allow_instance", "if is_fenced(instance, token) then", "if false then", "a_stale_lease_admits_nothing"),
    mutant(
        "allow_instance",
        "not TERMINAL[task.state] and ",
        "",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant(
        "allow_instance",
        "task.only and not string.find(task.only, ',' .. instance .. ',', 1, true)",
        "task.only",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant(
        "allow_instance",
        "task.only and not string.find(task.only, ',' .. instance .. ',', 1, true)",
        "not string.find(task.only or '', instance, 1, true)",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant(
        "allow_instance",
        "task.only .. instance .. ','",
        "',' .. instance .. ','",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant(
        "restricted_tasks",
        "',' .. instance .. ','",
        "instance",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant(
        "restricted_tasks",
        "root .. 'narrowed', since,",
        "root .. 'narrowed', '-inf',",
        "restricted_tasks_are_read_in_pages",
    ),
    mutant("restricted_tasks", "'LIMIT', 0, limit", "'LIMIT', 0, -1", "restricted_tasks_are_read_in_pages"),
    mutant(
        "lib/accept",
        "    add_entry(root .. 'narrowed', now, id)\n",
        "",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant("revive", "  redis.call('ZADD', root .. 'narrowed', now, id)\n", "", "a_revived_task_is_examined_again"),
    mutant(
        "lib/end_task",
        "    redis.call('ZREM', root .. 'narrowed', task.id)\n",
        "",
        "an_instance_that_meets_the_requirements_later_is_admitted",
    ),
    mutant("lib/repair", "    ensure(root .. 'narrowed', now, task.id)\n", "", "every_lost_key_is_rebuilt"),
    mutant(
        "finish",
        "if state == 'completed' then\n  record_run",
        "if true then\n  record_run",
        "a_run_time_is_counted_once",
    ),
    mutant("finish", "task.started or task.claimed or now", "task.claimed or now", "a_run_time_is_counted_once"),
    mutant("lib/run_times", "{ 'all', add_run(known[1], took), slot,", "{ slot,", "a_run_time_is_counted_once"),
    mutant("lib/run_times", "1 / NEWEST_SHARE)", "1000)", "a_run_time_is_counted_once"),
    mutant(
        "lib/run_times",
        "  while not known[3] and redis.call('ZCARD', root .. 'speeds-used') > WORKFLOWS_MAX do\n",
        "  while false do\n",
        "run_times_are_kept_for_a_limited_number_of_workflows",
    ),
    mutant("lib/accept", "'only', 'workflow_hash',", "'only',", "a_run_time_is_counted_once"),
    mutant(
        "wait_facts",
        "redis.call('ZCARD', wait_key(lane))\nelse",
        "0\nelse",
        "the_wait_facts_of_a_new_task_count_its_lane",
    ),
    mutant(
        "wait_facts",
        "mean(run_times[1]), mean(run_times[2])",
        "mean(run_times[2]), mean(run_times[2])",
        "a_run_time_is_counted_once",
    ),
    mutant(
        "requeue",
        "  fields[#fields + 1], fields[#fields + 2] = 'only', only\n",
        "",
        "an_instance_that_cannot_run_a_task_restricts_it_to_others",
    ),
    mutant(
        "requeue",
        "if only ~= '' then",
        "if true then",
        "an_instance_that_cannot_run_a_task_restricts_it_to_others",
    ),
    mutant(
        "requeue",
        "  redis.call('ZADD', root .. 'narrowed', now, id)\n",
        "",
        "an_instance_that_cannot_run_a_task_restricts_it_to_others",
    ),
];
