-- Removes who a deleted person was: name, address and identity from the row, the names of reports, and what opens the
-- commitments of the audit trail. It has the rights of the owner, because the application can change none of the latter.
CREATE OR REPLACE FUNCTION user_erase(p_user uuid, p_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  UPDATE public.users SET name = p_name, email = NULL, email_verified = NULL, oidc_issuer = NULL, oidc_subject = NULL,
      oidc_issued_at = NULL, oidc_roles = NULL, last_sign_in_at = NULL, password_hash = NULL, password_binding = NULL,
      password_binding_version = NULL, previous_password_hash = NULL,
      erased_at = date_trunc('milliseconds', clock_timestamp())
    WHERE id = p_user AND deleted_at IS NOT NULL AND erased_at IS NULL;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'only a user who was deleted, and not erased, can be erased' USING ERRCODE = 'insufficient_privilege';
  END IF;
  UPDATE public.user_version SET name = p_name WHERE user_id = p_user;
  DELETE FROM public.personal_value WHERE user_id = p_user;
  DELETE FROM public.sign_in_failure WHERE user_id = p_user;
END $$;
