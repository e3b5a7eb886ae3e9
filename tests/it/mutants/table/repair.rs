//! Mutants of repair and collection.

use super::{Mutant, guarded, mutant};

pub const MUTANTS: &[Mutant] = &[
    guarded(
        "gc",
        "redis.call('HEXISTS', in_flight_key(task.instance), id) == 1",
        "false",
        "a_task_that_holds_a_slot_is_not_collected",
    ),
    guarded("gc", "      redis.call('ZREM', index_key(state), id)\n", "", "ended_tasks_are_collected_without_a_trace"),
    guarded(
        "gc",
        "        redis.call('ZREM', owner_index_key(state, task.owner), id)\n",
        "",
        "ended_tasks_are_collected_without_a_trace",
    ),
    guarded("gc", "task_key(id), payload_key(id)", "task_key(id)", "ended_tasks_are_collected_without_a_trace"),
    mutant("gc", "      drop_file(file, now)\n", "", "outputs_become_orphans_when_their_task_is_collected"),
    mutant("gc", "is_early and '+inf' or now,", "'+inf',", "outputs_become_orphans_when_their_task_is_collected"),
    mutant("lib/repair", "    ensure(root .. 'delayed', task.retry_at, task.id)\n", "", "every_lost_key_is_rebuilt"),
    mutant("lib/repair", "      ensure(index_key(status), task.created, task.id)\n", "", "every_lost_key_is_rebuilt"),
    mutant(
        "lib/repair",
        "    if slot ~= task.attempt then",
        "    if false then",
        "a_lost_slot_is_adopted_by_its_owner",
    ),
    mutant(
        "lib/repair",
        "      repairs = repairs + redis.call('SADD', cancelled_key(task.instance), task.id)\n",
        "",
        "every_lost_key_is_rebuilt",
    ),
    mutant("lib/repair", "    ensure(root .. 'expiry',", "    --", "every_lost_key_is_rebuilt"),
    mutant("lib/repair", "    ensure(root .. 'start-by', task.start_by, task.id)\n", "", "every_lost_key_is_rebuilt"),
    mutant(
        "lib/repair",
        "      remove('ZREM', owner_index_key(status, owner), id)\n",
        "",
        "a_task_whose_hash_is_lost_leaves_no_trace",
    ),
    mutant("repair_index", "if index == 'leases' then", "if false then", "every_lost_key_is_rebuilt"),
    mutant(
        "forget_instance",
        "redis.call('ZREM', root .. 'leases', instance)\n",
        "",
        "the_task_of_an_instance_that_left_the_config_is_requeued",
    ),
    mutant(
        "gc",
        "      redis.call('ZREM', errors_key(task.error_type), id)\n",
        "",
        "a_revived_task_is_not_collected_before_its_time",
    ),
    mutant(
        "lib/repair",
        "    ensure(errors_key(task.error_type), task.created, task.id)\n",
        "",
        "failed_tasks_are_listed_by_their_error",
    ),
    mutant("repair_index", "redis.call('ZREM', root .. index, member)", "0", "failed_tasks_are_listed_by_their_error"),
    mutant(
        "requeue",
        "publish_instance(instance, now)\n  return { 'poisoned' }",
        "publish_instance(instance, now)\n  return { 'ended', 'failed' }",
        "every_ending_is_counted_once",
    ),
    mutant("requeue", "if task.settled_by == settling then", "if false then", "every_ending_is_counted_once"),
    mutant("expire", "    ended = ended + 1\n", "", "every_ending_is_counted_once"),
    mutant("expire", "tostring(ended)", "tostring(#due + 1)", "every_ending_is_counted_once"),
    mutant("lib/repair", "      ended_total = ended_total + 1\n", "", "every_ending_is_counted_once"),
];
