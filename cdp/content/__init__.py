"""What is said to whom: slots on pages with variants of content, and looking one person up while a page is made."""
