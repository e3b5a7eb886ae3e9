//! Mutants of the quotas of bytes.

use super::{Mutant, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant("file_add", "+ tonumber(size) > max", "> max", "uploads_count_by_owner_and_in_all"),
    mutant("file_add", "own_max) and 'user'", "0) and 'user'", "uploads_count_by_owner_and_in_all"),
    mutant("file_add", "'totals', 'upload'), all_max)", "'totals', 'upload'), 0)", "uploads_count_by_owner_and_in_all"),
    mutant(
        "lib/files",
        "    redis.call('HDEL', root .. 'upload-bytes', entry[5])\n",
        "",
        "uploads_count_by_owner_and_in_all",
    ),
    mutant(
        "lib/indexes",
        "return bytes > PAYLOAD_COUNTED_BYTES and bytes or 0",
        "return bytes",
        "large_payloads_count_until_the_task_ends",
    ),
    mutant("lib/indexes", "own_max > 0 and", "false and", "large_payloads_count_until_the_task_ends"),
    mutant("lib/indexes", "all_max > 0 and", "false and", "large_payloads_count_until_the_task_ends"),
    mutant("lib/end_task", "  release_payload(task.id, task.owner)\n", "", "large_payloads_count_until_the_task_ends"),
    mutant(
        "lib/accept",
        "      count_payload(task.id, task.owner, #task.payload)\n",
        "",
        "large_payloads_count_until_the_task_ends",
    ),
    mutant("lib/repair", "  release_payload(id)\n", "", "a_payload_whose_task_is_lost_is_released"),
    mutant("lib/indexes", "owner or held[2] or nil", "owner", "a_payload_whose_task_is_lost_is_released"),
    mutant("enqueue", "  if exceeded then", "  if false then", "large_payloads_count_until_the_task_ends"),
    mutant("enqueue_batch", "bytes = bytes + counted", "bytes = counted", "a_batch_counts_as_a_whole"),
    mutant("revive", "  count_payload(id, task.owner, payload_bytes)\n", "", "a_revived_task_counts_again"),
    mutant("revive", "  return { 'over_quota', exceeded }", "  return { 'full' }", "a_revived_task_counts_again"),
    mutant("file_check_delete", "files > 1 and {} or", "false or", "only_unused_objects_are_deletable"),
    mutant("file_check_delete", "> 0 then", "> 9 then", "only_unused_objects_are_deletable"),
];
