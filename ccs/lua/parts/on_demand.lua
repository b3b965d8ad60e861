-- Makes the functions that an ordinary commit does without, all at once: a commit that needs one calls this first.
local function make_parts()
    -- include packed_values
    -- include guards
    -- include plain_sets
    -- include send_in_pieces
    -- include lifetime
    return {
        compute = compute, agent_of = agent_of, unlooked = unlooked, refusal = refusal, may_vanish = may_vanish,
        no_life = no_life, obstacle = obstacle, send = send, tell = tell, first_terms = first_terms,
        given_terms = given_terms, idle = idle, outlast = outlast, trim = trim, prune = prune,
        expire_keys = expire_keys, announce = announce, drop = drop, also_due = also_due, remove = remove,
        plain_sets = plain_sets,
    }
end
