-- A version that is numbered anew: who follows the job is told, and who follows those that it supersedes.

CREATE TRIGGER jobs_tell_version AFTER UPDATE ON jobs
    FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION jobs_tell();
CREATE TRIGGER jobs_supersede_renumbered AFTER UPDATE ON jobs
    FOR EACH ROW WHEN (OLD.version <> NEW.version AND NEW.state = 'done') EXECUTE FUNCTION jobs_supersede();
