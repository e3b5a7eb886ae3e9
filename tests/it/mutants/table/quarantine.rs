//! Mutants of faults of machines, quarantines and preferred instances.

use super::{Mutant, mutant};

const BEGIN: &str = "a_machine_fault_quarantines_the_instance_and_costs_no_attempt";
const POISON: &str = "a_task_that_breaks_two_sound_machines_is_their_cause";
const TRIALS: &str = "trials_that_fail_come_at_growing_intervals";
const DOUBTS: &str = "two_unexplained_failures_in_a_row_are_the_machine";
const END: &str = "an_operator_or_a_restart_ends_a_quarantine";
const PROOF: &str = "only_a_run_after_the_fault_proves_the_machine";
const PREFERS: &str = "a_task_waits_for_the_instance_that_it_prefers";
const STALE: &str = "a_stale_owner_blames_no_machine";

pub const MUTANTS: &[Mutant] = &[
    mutant("node_fault", "if is_fenced(instance, token) then", "if false then", STALE),
    mutant("node_fault", "not belongs_to(task, instance, attempt)", "not task", STALE),
    mutant("node_fault", "task.last_end == 'given_back' and 'done' or 'not_this_attempt'", "'not_this_attempt'", BEGIN),
    mutant("node_fault", "if TERMINAL[task.state] then", "if false then", POISON),
    mutant("node_fault", "is_machine and not known[1] and 1 or 0", "is_machine and 1 or 0", POISON),
    mutant("node_fault", "is_machine and not known[1] and 1 or 0", "0", POISON),
    mutant("node_fault", "  redis.call('HSET', instance_key(instance), 'suspect', '1')\n", "", POISON),
    mutant("node_fault", "lift_quarantine(other, id, now)", "local _ = other", POISON),
    mutant("node_fault", "faults >= faults_max", "faults > faults_max", POISON),
    mutant("node_fault", "    free_slot(instance, id)\n", "", POISON),
    mutant("node_fault", "is_machine or doubts >= DOUBTS_MAX or known[3]", "is_machine or known[3]", DOUBTS),
    mutant("node_fault", "is_machine or doubts >= DOUBTS_MAX or known[3]", "true", DOUBTS),
    mutant("node_fault", "is_machine and 0 or 1", "0", DOUBTS),
    mutant("node_fault", "'doubt', instance", "'doubt', ''", DOUBTS),
    mutant("node_fault", "'excluded', (task.excluded or ',') .. instance .. ','", "'excluded', ','", BEGIN),
    mutant("lib/quarantine", "since and 1 or 0)", "since and 0 or 1)", TRIALS),
    mutant("lib/quarantine", "trial_ms * 2 ^ trials", "trial_ms", TRIALS),
    mutant("lib/quarantine", "RELAPSE_MS and trials + 1 or 0", "RELAPSE_MS and 0 or 0", TRIALS),
    mutant("lib/quarantine", "'\"taskId\":\"' .. id .. '\"', 1, true)", "'\"taskId\"', 1, true)", POISON),
    mutant("lib/quarantine", "if not known[2] and doubts < DOUBTS_MAX", "if false", DOUBTS),
    mutant("lib/quarantine", "    redis.call('HSET', instance_key(instance), 'ended_at', now)\n", "", TRIALS),
    mutant("claim", "slots = is_trial and 1 or slots\n", "", TRIALS),
    mutant("claim", "  or (is_trial and tonumber(is_trial) > now)\n", "", BEGIN),
    mutant("claim", "elseif is_trial and is_excluded(task) then", "elseif false then", "a_trial_prefers_other_tasks"),
    mutant("claim", "if not found and fallback then", "if false then", "a_trial_prefers_other_tasks"),
    mutant("claim", "return waits_for_preferred(task) or", "return", PREFERS),
    mutant("claim", "if not till or tonumber(till) <= now or", "if not till or", PREFERS),
    mutant("claim", "if not closed[1] and not closed[2] and", "if", PREFERS),
    mutant("finish", "tonumber(task.claimed or '0') >= tonumber(known[2])", "false", PROOF),
    mutant("finish", "tonumber(task.claimed or '0') >= tonumber(known[2])", "true", PROOF),
    mutant("finish", "elseif outcome == 'node_error' and", "elseif false and", DOUBTS),
    mutant("end_quarantine", "if token ~= '' and is_fenced(instance, token) then", "if false then", END),
    mutant("end_quarantine", "'ended_at', 'trials')", "'trials')", END),
    mutant("enable", "  release_by_operator(instance, now)\n", "", END),
    mutant("lib/quarantine", "  if suspect then\n", "  if false then\n", END),
    mutant("revive", ", 'faults', 'faulted', 'doubt', 'prefers'", "", "a_revived_task_has_caused_no_faults"),
];
