-- Which SR a version of a study supersedes, and the older jobs are told of when a newer one ends or leaves.

ALTER TABLE jobs ADD COLUMN document jsonb;  -- its SR by UIDs, and what that supersedes, once all destinations have it
ALTER TABLE jobs ADD COLUMN stored_in text[] NOT NULL DEFAULT '{}';  -- those destinations, by name
ALTER TABLE jobs ADD COLUMN earlier_document jsonb;  -- that of the version before, or JSON's null; NULL: not settled

CREATE FUNCTION jobs_supersede() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lung_nodules_jobs', o.id::text) FROM jobs o
    WHERE o.study_key = COALESCE(NEW.study_key, OLD.study_key) AND o.version < COALESCE(NEW.version, OLD.version)
    AND o.state = 'done';
    RETURN NULL;
END;
$$;

CREATE TRIGGER jobs_supersede_done AFTER UPDATE ON jobs
    FOR EACH ROW WHEN (OLD.state <> 'done' AND NEW.state = 'done') EXECUTE FUNCTION jobs_supersede();
CREATE TRIGGER jobs_supersede_gone AFTER DELETE ON jobs
    FOR EACH ROW WHEN (OLD.state = 'done') EXECUTE FUNCTION jobs_supersede();
