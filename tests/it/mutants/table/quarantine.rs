//! Mutants of faults of machines, quarantines and preferred instances.

use super::{Mutant, mutant};

const BEGIN: &str = "a_machine_fault_quarantines_the_instance_and_costs_no_attempt";
const POISON: &str = "a_task_that_breaks_two_sound_machines_is_their_cause";
const TRIALS: &str = "trials_that_fail_come_at_growing_intervals";
const DOUBTS: &str = "two_unexplained_failures_in_a_row_are_the_machine";
const END: &str = "an_operator_or_a_restart_ends_a_quarantine";
const PROOF: &str = "only_a_run_after_the_fault_proves_the_machine";
const PREFERS: &str = "a_task_waits_for_the_instance_that_it_prefers";
const MANY: &str = "different_bad_tasks_fail_and_give_both_machines_back";
const CONDEMNED: &str = "a_bad_graph_that_is_submitted_often_stops_no_machine";
const BROKEN: &str = "two_broken_machines_fail_no_task_that_a_third_can_run";
const BROKEN_FLEET: &str = "a_fleet_that_is_broken_condemns_no_workflow";
const THREE: &str = "a_task_that_breaks_three_sound_machines_is_the_cause";
const KNOWN: &str = "a_broken_machine_is_proven_by_a_known_workflow";
const RELEASED: &str = "a_machine_that_was_released_or_restarted_gets_unsuspected_tasks";
const EARLY: &str = "only_fresh_tasks_are_tried_early";
const OPEN: &str = "no_trial_is_early_while_another_instance_is_open";
const EXHAUSTED: &str = "a_task_whose_cause_cannot_be_found_fails";
const STALE: &str = "a_stale_owner_blames_no_machine";

pub const MUTANTS: &[Mutant] = &[
    mutant("node_fault", "if is_fenced(instance, token) then", "if false then", STALE),
    mutant("node_fault", "not belongs_to(task, instance, attempt)", "not task", STALE),
    mutant("node_fault", "task.last_end == 'given_back' and 'done' or 'not_this_attempt'", "'not_this_attempt'", BEGIN),
    mutant("node_fault", "if TERMINAL[task.state] then", "if false then", POISON),
    mutant("node_fault", "not known[1] or not is_blamed", "true", POISON),
    mutant("node_fault", "not known[1] or not is_blamed", "false", POISON),
    mutant("node_fault", "not known[1] or not is_blamed", "not known[1]", CONDEMNED),
    mutant("node_fault", "  redis.call('HSET', instance_key(instance), 'suspect', '1')\n", "", POISON),
    mutant("node_fault", "lift_quarantine(other, id, now)", "local _ = other", POISON),
    mutant("node_fault", "  free_slot(instance, id)\n", "", POISON),
    mutant("node_fault", "  if is_blamed then\n", "  if true then\n", CONDEMNED),
    mutant("node_fault", "is_cause and is_proven", "is_cause", BROKEN_FLEET),
    mutant("node_fault", "excused > excused_max", "excused >= excused_max", EXHAUSTED),
    mutant("node_fault", "excused > excused_max", "false", EXHAUSTED),
    mutant("node_fault", "doubts >= DOUBTS_MAX or known[3]", "known[3]", DOUBTS),
    mutant("node_fault", "doubts >= DOUBTS_MAX or known[3]", "true", DOUBTS),
    mutant("node_fault", "is_machine and 0 or 1", "0", DOUBTS),
    mutant("node_fault", "'doubt', instance", "'doubt', ''", DOUBTS),
    mutant("node_fault", "'excluded', (task.excluded or ',') .. instance .. ','", "'excluded', ','", BEGIN),
    mutant("lib/fault_verdict", "faults >= faults_max or", "", THREE),
    mutant("lib/fault_verdict", "faults >= faults_max or", "faults > 1 or", BROKEN),
    mutant("lib/fault_verdict", "faults > 1 or machines", "machines", "a_trial_prefers_other_tasks"),
    mutant("lib/fault_verdict", "(faults > 0 or is_proven)", "true", POISON),
    mutant("lib/fault_verdict", "(faults > 0 or is_proven)", "faults > 0", MANY),
    mutant("lib/fault_verdict", "(faults > 0 or is_proven)", "is_proven", THREE),
    mutant("lib/fault_verdict", "      or task.only and not", "      or false and not", THREE),
    mutant("lib/fault_verdict", "return string.find(tried", "return false and string.find(tried", MANY),
    mutant("lib/fault_verdict", " == 0\n", " > -1\n", CONDEMNED),
    mutant("lib/fault_verdict", "'0', 'PX', FAULTY_MS, 'NX')", "'0', 'PX', FAULTY_MS)", CONDEMNED),
    mutant("lib/quarantine", "since and 1 or 0)", "since and 0 or 1)", TRIALS),
    mutant("lib/quarantine", "trial_ms * 2 ^ trials", "trial_ms", TRIALS),
    mutant("lib/quarantine", "RELAPSE_MS and trials + 1 or 0", "RELAPSE_MS and 0 or 0", TRIALS),
    mutant("lib/quarantine", "'\"taskId\":\"' .. id .. '\"', 1, true)", "'\"taskId\"', 1, true)", POISON),
    mutant("lib/quarantine", "if not known[2] and doubts < DOUBTS_MAX", "if false", DOUBTS),
    mutant("lib/quarantine", "    redis.call('HSET', instance_key(instance), 'ended_at', now)\n", "", TRIALS),
    mutant("claim", "slots = is_trial and 1 or slots\n", "", TRIALS),
    mutant("claim", "  or (is_early and tonumber(last[7] or is_trial) > now)\n", "", BEGIN),
    mutant("claim", "tonumber(last[7] or is_trial) > now", "true", MANY),
    mutant("claim", "is_unproven and suspicion(task) or 0", "0", "a_trial_prefers_other_tasks"),
    mutant("claim", "last[8] or is_trial, is_early", "is_trial, is_early", RELEASED),
    mutant("claim", "is_early and EARLY_RANK_MAX or 7", "7", EARLY),
    mutant("claim", "or rank < fallback.rank", "", CONDEMNED),
    mutant("claim", "(task.faulted or task.doubt) and 3 or 0", "0", EARLY),
    mutant("claim", "    return own\n", "    return own + 1\n", KNOWN),
    mutant("claim", "if not found and fallback then", "if false then", "a_trial_prefers_other_tasks"),
    mutant("claim", "return waits_for_preferred(task) or", "return", PREFERS),
    mutant("claim", "if not till or tonumber(till) <= now or", "if not till or", PREFERS),
    mutant("claim", "if not closed[1] and not closed[2] and", "if", PREFERS),
    mutant("finish", "tonumber(task.claimed or '0') >= tonumber(known[2])", "false", PROOF),
    mutant("finish", "tonumber(task.claimed or '0') >= tonumber(known[2])", "true", PROOF),
    mutant("finish", "elseif outcome == 'node_error' and", "elseif false and", DOUBTS),
    mutant("end_quarantine", "if token ~= '' and is_fenced(instance, token) then", "if false then", END),
    mutant("end_quarantine", "release_by_operator or release_restarted", "end_quarantine or end_quarantine", END),
    mutant("lib/quarantine", "'ended_at', 'trials', 'proven_at')", "'trials', 'proven_at')", END),
    mutant(
        "lib/quarantine",
        "'trials', 'proven_at')\n  redis.call('HSET', instance_key(instance), 'fault_at', now)\n",
        "'trials')\n",
        RELEASED,
    ),
    mutant("lib/quarantine", "if not is_open_elsewhere(instance, now) then", "if true then", OPEN),
    mutant("lib/quarantine", "if not is_open_elsewhere(instance, now) then", "if false then", MANY),
    mutant("lib/quarantine", "    redis.call('HSET', instance_key(instance), 'proven_at', now)\n", "", MANY),
    mutant("enable", "  release_by_operator(instance, now)\n", "", END),
    mutant("lib/quarantine", "  if suspect then\n", "  if false then\n", END),
    mutant(
        "revive",
        "'faults',\n  'faulted', 'faulted_at', 'excused', 'doubt',",
        "",
        "a_revived_task_has_caused_no_faults",
    ),
];
