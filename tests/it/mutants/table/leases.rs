//! Mutants of the fence of the installation, and of leases, reports and events of instances.

use super::{Mutant, guarded, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant(
        "lib/installation",
        "redis.call('EXISTS', KEYS[2]) == 0",
        "false",
        "an_emptied_redis_refuses_every_call_and_stays_empty",
    ),
    mutant(
        "check_redis_restart",
        "if is_known and stored",
        "if false and stored",
        "a_process_that_knows_its_installation_makes_no_new_one",
    ),
    mutant(
        "check_redis_restart",
        "installation = stored or installation",
        "",
        "a_process_that_knows_its_installation_makes_no_new_one",
    ),
    mutant(
        "check_redis_restart",
        "redis.call('SET', root .. 'installation:' .. installation, '')",
        "",
        "a_process_that_knows_its_installation_makes_no_new_one",
    ),
    guarded("renew", "if is_fenced(instance, token) then", "if false then", "a_stale_token_changes_nothing"),
    mutant("report_instance", "if is_fenced(instance, token) then", "if false then", "a_stale_token_changes_nothing"),
    mutant("release_lease", "if is_fenced(instance, token) then", "if false then", "a_stale_token_changes_nothing"),
    guarded("acquire", "  if tonumber(current[2]) > now then", "  if false then", "a_live_lease_is_not_taken"),
    guarded(
        "acquire",
        "'token', token, 'dispatcher'",
        "'dispatcher'",
        "an_expired_lease_is_acquired_with_its_tasks_in_flight",
    ),
    mutant("acquire", "and boot(now) then", "and false then", "a_restarted_redis_extends_leases_and_pauses_claims"),
    mutant(
        "acquire",
        "local is_ours = current[1] == token",
        "local is_ours = false",
        "the_same_token_gives_the_same_answer",
    ),
    mutant(
        "acquire",
        "  redis.call('HDEL', instance_key(instance), 'nonce')\n",
        "",
        "a_claim_is_replayed_only_while_its_task_runs",
    ),
    guarded("acquire", "current[1] and current[1] ~= ''", "false", "a_live_lease_is_not_taken"),
    guarded(
        "renew",
        "redis.call('HSET', instance_key(instance), 'expires', expires, 'ttl', ttl_ms)\n",
        "",
        "a_live_lease_is_not_taken",
    ),
    guarded("renew", "redis.call('HGETALL', in_flight_key(instance))", "{}", "the_next_lease_owner_sees_a_cancel"),
    mutant("release_lease", "'token', '', 'dispatcher'", "'dispatcher'", "a_released_lease_is_free_at_once"),
    mutant(
        "lib/redis_restart",
        "      redis.call('HSET', instance_key(instance), 'expires', expires)\n",
        "",
        "a_restarted_redis_extends_leases_and_pauses_claims",
    ),
    mutant(
        "lib/redis_restart",
        "if lease[1] and lease[1] ~= '' then",
        "if lease[1] then",
        "a_restarted_redis_extends_leases_and_pauses_claims",
    ),
    mutant("config_put", "expected ~= '' and expected ~= version", "false", "a_config_is_written_under_its_version"),
    mutant(
        "report_instance",
        "  report = string.gsub",
        "  local _ = string.gsub",
        "an_instance_is_known_by_its_report",
    ),
    mutant(
        "heartbeat",
        "redis.call('ZREMRANGEBYSCORE', root .. 'dispatchers', '-inf', now)\n",
        "",
        "heartbeats_return_the_live_dispatchers",
    ),
    mutant(
        "orphan_prompt_add",
        "if is_fenced(instance, token) then",
        "if false then",
        "only_the_lease_owner_records_orphan_prompts",
    ),
    mutant(
        "orphan_prompt_add",
        "redis.call('ZREMRANGEBYSCORE', key, '-inf', now - keep_ms)\n",
        "",
        "the_next_owner_sees_an_orphan_prompt_for_an_hour",
    ),
    mutant(
        "orphan_prompt_add",
        "redis.call('ZREMRANGEBYRANK', key, 0, -limit - 1)\n",
        "",
        "orphan_prompts_are_limited",
    ),
    mutant("orphan_prompt_add", "0, -limit - 1", "limit, -1", "orphan_prompts_are_limited"),
    mutant(
        "orphan_prompt_add",
        "redis.call('PEXPIRE', key, keep_ms)\n",
        "",
        "the_next_owner_sees_an_orphan_prompt_for_an_hour",
    ),
    mutant("orphan_prompts", "'(' .. (now - keep_ms)", "'-inf'", "the_next_owner_sees_an_orphan_prompt_for_an_hour"),
];
