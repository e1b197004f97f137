"""Migrations, written from one typed list of steps: plain SQL, Alembic, Flyway, Liquibase."""
