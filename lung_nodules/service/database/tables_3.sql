-- What is asked often is answered without reading all rows: how many jobs are in each state, whose an upload is, which
-- ends were not told or are old.

-- The number of jobs in a state is the sum of its rows. A change adds rows and waits for no other one; whoever prunes
-- puts them together.
CREATE TABLE job_tallies (
    state text NOT NULL,
    jobs bigint NOT NULL
);

CREATE FUNCTION jobs_tally() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM job_tallies;
        RETURN NULL;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        INSERT INTO job_tallies VALUES (OLD.state, -1);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        INSERT INTO job_tallies VALUES (NEW.state, 1);
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER jobs_tally_change AFTER UPDATE ON jobs FOR EACH ROW WHEN (OLD.state <> NEW.state)
    EXECUTE FUNCTION jobs_tally();
CREATE TRIGGER jobs_tally_others AFTER INSERT OR DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_tally();
CREATE TRIGGER jobs_tally_none AFTER TRUNCATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION jobs_tally();
INSERT INTO job_tallies SELECT state, count(*) FROM jobs GROUP BY state;

CREATE INDEX jobs_by_upload ON jobs ((source ->> 'path')) WHERE source ->> 'kind' = 'upload';
CREATE INDEX notices_untold ON notices (number) WHERE told_at IS NULL;
CREATE INDEX notices_by_end ON notices (ended_at);
